"""Documentation: what the template says of itself."""

from __future__ import annotations

import re

from mutations.edits import Change, Edit, Template, sub

STEPS = (
    "verify-mail-identity",
    "leave-mail-sandbox",
    "subscribe-quicksight",
    "confirm-subscriptions",
    "fraud-detector-eligibility",
)


def output(name: str, value: object) -> Change:
    """Another output."""
    return lambda template: template["Outputs"].update({name: {"Description": "An output", "Value": value}})


def outputs_gone(*names: str) -> Change:
    def edit(template: Template) -> None:
        for name in names:
            del template["Outputs"][name]

    return edit


def undescribed(section: str, name: str, **values: str) -> Change:
    """A member of a section without its description, or with another."""

    def edit(template: Template) -> None:
        del template[section][name]["Description"]
        template[section][name].update(values)

    return edit


def without_step(name: str) -> Change:
    """A manual step that nothing names."""

    def edit(template: Template) -> None:
        held = template["Metadata"]["cfaudit"]["manual_steps"]
        held[:] = [step for step in held if step["id"] != name]

    return edit


def without_metadata(template: Template) -> None:
    del template["Metadata"]


def uncommented(text: str) -> str:
    """Every line that is a comment and nothing else."""
    return re.sub(r"(?m)^ *#.*\n", "", text)


def uncommented_resources(text: str) -> str:
    """The first half keeps its comments."""
    middle = text.index("  # --- What every function's role may do ---")
    return text[:middle] + uncommented(text[middle:])


EDITS: dict[str, tuple[Edit, ...]] = {
    "undescribed-template": (
        Edit("no description", lambda template: template.__delitem__("Description")),
        Edit("an empty one", lambda template: template.update(Description=" ")),
    ),
    "undescribed-parameters": (
        Edit("one without", undescribed("Parameters", "CodeVersion")),
        Edit("an empty one", undescribed("Parameters", "CodeVersion", Description="")),
        Edit("a parameter more", lambda template: template["Parameters"].update(Stage={"Type": "String"})),
    ),
    "undescribed-outputs": (
        Edit("one without", undescribed("Outputs", "ApiUrl")),
        Edit("an empty one", undescribed("Outputs", "ApiUrl", Description="")),
    ),
    "missing-critical-outputs": (
        Edit("no API URL", outputs_gone("ApiUrl")),
        Edit("no table name", outputs_gone("CampaignsTableName")),
        Edit("no user pool id", outputs_gone("UserPoolId")),
        Edit("no client id", outputs_gone("UserPoolClientId")),
        Edit("no function ARN", outputs_gone("PaymentFunctionArn")),
        Edit("no topic ARN", outputs_gone("MilestoneTopicArn")),
        Edit("no outputs", lambda template: template.__delitem__("Outputs")),
    ),
    "output-not-ref": (
        Edit("a name", output("WorkGroupName", sub("crowdfunding-${EnvironmentSuffix}"))),
        Edit(
            "an ARN",
            output(
                "WorkGroupArn",
                sub(
                    "arn:${AWS::Partition}:athena:${AWS::Region}:${AWS::AccountId}:workgroup/crowdfunding-${EnvironmentSuffix}"
                ),
            ),
        ),
    ),
    "undocumented-manual-steps": (
        *(Edit(name, without_step(name)) for name in STEPS),
        # One of them told how a changed method reaches the stage.
        Edit("none", without_metadata, frozenset({"stale-deployment"})),
    ),
    "sparse-comments": (
        Edit("no comments", text=uncommented),
        Edit("none in the second half", text=uncommented_resources),
    ),
}
