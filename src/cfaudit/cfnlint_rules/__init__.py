"""Rules of cfn-lint that report cfaudit's gaps: ``cfn-lint template.yaml --append-rules cfaudit.cfnlint_rules``.

cfn-lint takes the name of this package as well as its folder.
"""

from __future__ import annotations

from cfaudit.cfnlint_rules.gaps import ErrorGaps, InformationGaps, WarningGaps

__all__ = ["ErrorGaps", "InformationGaps", "WarningGaps"]
