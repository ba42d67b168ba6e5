"""Headless Chromium over its debugging pipe: no port, no driver, no package.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions", "--lang=en")
LONGEST = 60.0
_SELECT = """
const one = (selector) => document.querySelector(selector);
const all = (selector) => [...document.querySelectorAll(selector)];
const seen = (selector) => all(selector).filter((found) => found.checkVisibility());
"""


class Page:
    """One tab. ``requests`` are the addresses it asked for, ``said`` what its console and its policy complained of."""

    def __init__(self, to: int, of: int) -> None:
        self._to, self._of = to, of
        self._last = 0
        self._held = b""
        self._session: str | None = None
        self._loaded = False
        self.requests: list[str] = []
        self.said: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")
        self._session = str(self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"])
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Json) -> Mapping[str, Json]:
        """Send a command and wait for its answer; events that come before it are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                assert "error" not in answer, answer["error"]
                result = answer["result"]
                assert isinstance(result, dict)
                return result

    def _next(self) -> dict[str, Json]:
        while b"\0" not in self._held:
            read = os.read(self._of, 1 << 16)
            assert read, "chromium went away"
            self._held += read
        message, _, self._held = self._held.partition(b"\0")
        found: dict[str, Json] = json.loads(message)
        self._note(str(found.get("method")), found.get("params"))
        return found

    def _note(self, event: str, told: Json) -> None:
        if not isinstance(told, dict):
            return
        if event == "Network.requestWillBeSent" and isinstance(told["request"], dict):
            self.requests.append(str(told["request"]["url"]))
        elif event in ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"):
            self.said.append(json.dumps(told))
        elif event == "Page.javascriptDialogOpening":
            self.said.append(f"dialog: {told['message']}")
        elif event == "Page.loadEventFired":
            self._loaded = True

    def open(self, address: str) -> None:
        """Go to an address and wait until it is loaded."""
        self._loaded = False
        self.call("Page.navigate", url=address)
        until = time.monotonic() + LONGEST
        while not self._loaded:
            assert time.monotonic() < until, f"{address} does not load"
            self._next()

    def run(self, script: str) -> Json:
        """The value of an expression that may use ``one``, ``all`` and ``seen`` of a selector; promises are awaited."""
        expression = f"(() => {{ {_SELECT} return ({script}); }})()"
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        result = answer["result"]
        assert isinstance(result, dict)
        return result.get("value")

    def see(self, *, width: int = 1280, height: int = 900, dark: bool = False, media: str = "screen") -> None:
        """Set the window and what it is."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of the window, or of all there is to scroll."""
        return base64.b64decode(str(self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def press(self, *keys: str) -> None:
        """Keys, one after the other, as a keyboard sends them."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        for key in keys:
            text = {"Enter": "\r", " ": " "}.get(key, "")
            named: dict[str, Json] = {"key": key, "code": "Space" if key == " " else key}
            named |= {"windowsVirtualKeyCode": codes[key]} | ({"text": text} if text else {})
            self.call("Input.dispatchKeyEvent", type="keyDown", **named)
            self.call("Input.dispatchKeyEvent", type="keyUp", **named)


@contextmanager
def chromium(profile: Path) -> Iterator[Page]:
    """A browser that can reach no network: every name resolves to nothing, every proxy is a dead port."""
    assert CHROMIUM is not None
    network = ("--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9", "--disable-background-networking")
    command = [CHROMIUM, *OPTIONS, *network, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    theirs, to = _pipe()
    of, ours = _pipe()
    log = os.open(profile.parent / "chromium.log", os.O_WRONLY | os.O_CREAT)
    actions = [(os.POSIX_SPAWN_DUP2, given, wanted) for given, wanted in ((theirs, 3), (ours, 4), (log, 1), (log, 2))]
    process = os.posix_spawn(CHROMIUM, command, os.environ, file_actions=actions)
    for given in (theirs, ours, log):
        os.close(given)
    try:
        yield Page(to, of)
    finally:
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
        os.close(to)
        os.close(of)


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are none of the numbers that the browser wants."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]
