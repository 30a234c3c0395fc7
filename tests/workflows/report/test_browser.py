"""The page in a real browser: what one reads, sorts, filters and compares there; that it asks for nothing.

One browser for all of it, which takes two seconds to start, and one page with Vega in it. With
``XEXP_TEST_PICTURES=FOLDER`` the pictures are kept.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.helpers import Clock, Repo
from tests.workflows.report import page_project

_CELLS = """
return [...document.querySelectorAll(arguments[0])].map(r => [...r.cells].map(c => c.innerText))
"""
_CLICK = """
[...document.querySelectorAll(arguments[0])].find(e => e.innerText.startsWith(arguments[1])).click()
"""
_TYPE = """
const field = document.getElementById("filter");
field.value = arguments[0];
field.dispatchEvent(new Event("input"));
"""
_CHOOSE = """
[...document.querySelectorAll("#chooser label")].find(e => e.textContent === arguments[0])
  .querySelector("input").click()
"""
_PICK = """
[...document.querySelectorAll("#table tbody tr")].find(r => r.cells[1].innerText.startsWith(arguments[0]))
  .querySelector("input").click()
"""
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Browser:
    """Chromium without a window, as selenium drives it."""

    def __init__(self, browser: str, driver: str, folder: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                         "--hide-scrollbars", "--window-size=1440,1000",
                         f"--user-data-dir={folder}"):  # fmt: skip
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.driver.set_script_timeout(60)

    def js(self, code: str, *args: Any) -> Any:
        """What a function body returns."""
        return self.driver.execute_script(code, *args)

    def wait(self, condition: str, seconds: float = 60) -> None:
        """Until an expression is true."""
        end = time.monotonic() + seconds
        while not self.js(f"return Boolean({condition})"):
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            time.sleep(0.05)

    def open(self, page: Path) -> None:
        self.driver.get("about:blank")
        self.log("performance")  # of the tab that the browser began with
        self.driver.get(page.as_uri())
        self.wait("document.documentElement.dataset.drawn !== undefined")

    def names(self) -> list[str]:
        """The versions in the table, in its order."""
        return [row[1] for row in self.table("#table")]

    def sort(self, column: str) -> list[str]:
        """The table after a click on a heading."""
        self.js(_CLICK, "#table thead button", column)
        return self.names()

    def filter(self, text: str) -> list[str]:
        """The table after a filter was typed."""
        self.js(_TYPE, text)
        time.sleep(0.2)
        return self.names()

    def count(self, what: str) -> int:
        """How many elements there are."""
        return int(self.js("return document.querySelectorAll(arguments[0]).length", what))

    def text(self, name: str) -> str:
        """What an element shows."""
        return str(self.js("return document.getElementById(arguments[0]).innerText", name))

    def table(self, where: str) -> list[list[str]]:
        """The cells of a table's body."""
        return list(self.js(_CELLS, f"{where} tbody tr"))

    def picture(self, name: str) -> bytes:
        """The whole page as it is now."""
        shot = self.driver.execute_cdp_cmd(
            "Page.captureScreenshot", {"captureBeyondViewport": True}
        )
        data = base64.b64decode(shot["data"])
        if folder := os.environ.get("XEXP_TEST_PICTURES"):
            (Path(folder) / f"{name}.png").write_bytes(data)
        return data

    def log(self, kind: str) -> list[dict[str, Any]]:
        return list(self.driver.get_log(kind))

    def size(self, width: int) -> None:
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False})  # fmt: skip
        time.sleep(0.4)


def found_browser() -> tuple[str, str] | None:
    """The browser and its driver, where both are installed."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser; the test is skipped where there is none."""
    found = found_browser()
    if found is None:
        pytest.skip("no chromium and chromedriver here: apt-get install chromium chromium-driver")
    made = Browser(*found, folder)
    try:
        yield made
    finally:
        made.driver.quit()


class Server:
    """A server that nothing must reach."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self.send_response(200)
                self.send_header("Access-Control-Allow-Origin", "*")
                self.end_headers()

            do_POST = do_GET  # noqa: N815 - its name there

            def log_message(self, format: str, *args: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


def test_in_a_browser(dvc_repo: Repo, clock: Clock, tmp_path: Path) -> None:
    """Made by the real command, with the real Vega, and used."""
    pytest.importorskip(
        "vl_convert", reason="vl-convert-python is not installed (git-xexp[report])"
    )
    with browsing(tmp_path / "browser") as browser:
        page_project.make(dvc_repo, clock)
        dvc_repo.xexp("report").good()
        browser.open(dvc_repo / "report.html")
        _draws(browser)
        _asks_nothing(browser)
        _sorts_and_filters(browser, dvc_repo)
        _compares(browser, dvc_repo)
        _answers_keys(browser)
        _looks(browser)
        wrong = [
            e["message"] for e in browser.log("browser") if "Content Security" not in e["message"]
        ]
        assert wrong == []


def _draws(browser: Browser) -> None:
    """Each chart has its marks; a hostile name is text everywhere."""
    assert browser.log("browser") == []  # not a single violation of the policy either
    marks = {
        "versions": ".mark-symbol path",
        "curves": ".mark-line path",
        "parallel": ".row-lines path",
    }
    counts = {n: browser.count(f".chart[data-chart={n}] svg {one}") for n, one in marks.items()}
    assert counts["versions"] >= 4 and counts["curves"] >= 4 and counts["parallel"] == 4, counts
    assert browser.driver.title == "repo: experiments"
    assert browser.count("img") == 0
    assert "onerror" in browser.text("table")
    assert "e0.2.0" in browser.js("return document.querySelector('.words').innerText")
    assert browser.table("#places")[0][0] == "data/train.csv"
    assert "git xexp get e0.2.0 PATH" in browser.text("places-note")
    assert browser.text("findings")


def _asks_nothing(browser: Browser) -> None:
    """Opening asked for one file; what a script of the page may try does not leave it."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.log("performance")]
    urls = [
        m["params"]["request"]["url"]
        for m in messages
        if m["method"] == "Network.requestWillBeSent"
    ]
    assert urls == [browser.driver.current_url.partition("#")[0]]
    server = Server()
    browser.js("""
        const url = arguments[0], quiet = (task) => { try { task()?.catch?.(() => 0); } catch { } };
        quiet(() => fetch(url + "/fetch"));
        quiet(() => { new Image().src = url + "/image"; });
        quiet(() => navigator.sendBeacon(url + "/beacon", "x"));
        quiet(() => new WebSocket(url.replace("http", "ws") + "/socket"));
        quiet(() => new EventSource(url + "/events"));
        quiet(() => import(url + "/module"));
        quiet(() => new Worker(url + "/worker"));
        const tags = {script: "src", iframe: "src", object: "data", video: "src", link: "href"};
        for (const [tag, name] of Object.entries(tags)) {
          const made = document.createElement(tag);
          made.rel = "stylesheet";
          made[name] = url + "/" + tag;
          document.body.append(made);
          setTimeout(() => made.remove(), 300);
        }
        const form = document.createElement("form");
        form.action = url + "/form"; form.method = "post"; document.body.append(form);
        quiet(() => form.submit()); form.remove();
        const inline = document.createElement("script");
        inline.textContent = "window.ran = true"; document.body.append(inline); inline.remove();
        """, server.url)  # fmt: skip
    time.sleep(0.6)
    server.server.shutdown()
    assert server.asked == [] and browser.js("return window.ran === undefined")


def _sorts_and_filters(browser: Browser, repo: Repo) -> None:
    assert browser.names() == ["e0.3.0", "e0.2.1", "e0.2.0", "e0.1.0"]
    assert browser.sort("accuracy") == ["e0.2.0", "e0.2.1", "e0.1.0", "e0.3.0"]
    assert (
        browser.js("return document.querySelector('[aria-sort=descending]').innerText")
        == "accuracy"
    )
    assert browser.sort("lr")[0] == "e0.3.0"  # numbers by size: 0.0001 first
    assert browser.sort("lr")[0] == "e0.1.0"
    browser.sort("lr")  # and in the order of before
    for expression in (
        "accuracy > 0.8", "accuracy >= 0.8 and not label = good", "lr = 1e-2 or train.lr = 0.1",
        "model ~ BERT",
        "model ~ b*t", "version >= e0.2.1", "date < 2000-01-01", "text ~ 'try [13]'", "f1 != 0.7",
        "(f1<0.75 and f1 > 0.6)",
        "params.seed = 1152921504606846976", "label != good", "metrics.odd > 1", "tagger = 'Ada Lovelace'",
        "drift = NaN", "drift != nan", "drift != 3", "drift < 9 or drift >= 9", "drift ~ na",
    ):  # fmt: skip
        found = repo.xexp("list", "--filter", expression, "--json").good().json()
        assert browser.filter(expression) == [one["version"] for one in found], expression
    assert browser.filter("GOOD onerror") == ["e0.2.0"]  # words, in any case
    assert browser.filter("accuracy > ") == ["e0.3.0", "e0.2.1", "e0.2.0", "e0.1.0"]
    assert "cannot be read" in browser.text("filter-note")
    browser.filter("")
    browser.js(_CHOOSE, "drift")
    both = browser.sort("drift"), browser.sort("drift")
    assert [names[-1] for names in both] == ["e0.2.1"] * 2  # NaN, in either order
    browser.sort("drift")
    browser.js(_CHOOSE, "drift")
    browser.js("[...document.querySelectorAll('#kinds button')].at(-1).click()")
    assert len(browser.names()) == 5
    browser.js("document.querySelector('#kinds button').click()")
    assert browser.js("return getComputedStyle(document.getElementById('more')).display") == "none"
    _brushes(browser)


def _brushes(browser: Browser) -> None:
    """A drag along an axis filters by it, a click takes that back; a click on a point selects it."""
    from selenium.webdriver.common.action_chains import ActionChains

    browser.js("document.documentElement.style.scrollBehavior = 'auto'")
    browser.js("document.getElementById('parallel').scrollIntoView()")
    axis = browser.driver.find_elements("css selector", ".handle")[1]
    tall = axis.size["height"]
    drag = ActionChains(browser.driver).move_to_element_with_offset(axis, 0, -tall // 2 + 2)
    drag.click_and_hold().move_by_offset(0, tall // 2).release().perform()
    assert browser.js("return filter.value").startswith("(params.train.lr >= 0.00")
    assert browser.names() == ["e0.2.0", "e0.1.0"]
    browser.wait(
        "document.querySelectorAll('.row-lines path[stroke-opacity=\"0.25\"]').length === 2"
    )
    axis = browser.driver.find_elements("css selector", ".handle")[1]
    ActionChains(browser.driver).move_to_element(axis).click().perform()
    assert browser.js("return filter.value") == ""
    browser.js("document.getElementById('versions').scrollIntoView()")
    browser.wait("document.querySelectorAll('.chart[data-chart=versions] path[aria-label]').length")
    point = browser.driver.find_elements(
        "css selector", ".chart[data-chart=versions] .mark-symbol path"
    )[0]
    ActionChains(browser.driver).move_to_element(point).click().perform()
    assert browser.js("return document.querySelector('tr[aria-selected=true]').innerText").count(
        "e0.1.0"
    )
    assert "e0.1.0" in browser.text("tip")
    browser.js("document.getElementById('clear').click()")


def _compares(browser: Browser, repo: Repo) -> None:
    """Choose two rows and read the numbers: those of explore diff."""
    for version in ("e0.2.1", "e0.1.0"):
        browser.js(_PICK, version)
    assert browser.js("return [before.value, after.value]") == ["e0.1.0", "e0.2.1"]
    found = repo.xexp("explore", "diff", "e0.1.0", "e0.2.1", "--json").good().json()
    (accuracy,) = (m for m in found["metrics"] if m["name"] == "accuracy")
    row = next(cells for cells in browser.table("#metrics-difference") if cells[0] == "accuracy")
    assert row[1:4] == ["0.8", "0.805", "+0.0050"] and row[5] == "noise"
    low, high = (float(part.replace("−", "-")) for part in row[6].split(" to "))
    assert (low, high) == pytest.approx((accuracy["low"], accuracy["high"]), abs=1e-4)
    files = {
        cells[0]: [int(c.replace("−", "-")) for c in cells[1:]]
        for cells in browser.table("#code-difference")
    }
    assert files == {f["path"]: [f["added"], -f["deleted"]] for f in found["code"]}
    params = {cells[0] for cells in browser.table("#difference .blocks > div:first-child")}
    assert params == {p["name"] for p in found["params"]}
    browser.wait(
        "document.querySelectorAll('.chart[data-chart=curves] .mark-line path').length === 2"
    )
    browser.js("document.getElementById('clear').click()")


def _answers_keys(browser: Browser) -> None:
    """Everything without a mouse."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> None:
        ActionChains(browser.driver).send_keys(*keys).perform()

    browser.js("document.querySelector('#table tbody tr').focus()")
    press(Keys.ARROW_DOWN, " ")
    assert browser.js(
        "return [...document.querySelectorAll('tr[aria-selected=true]')].map(r => r.rowIndex)"
    ) == [2]
    press(" ", "/")
    assert browser.js("return document.activeElement.id") == "filter"
    press("e0.3", Keys.ESCAPE)
    assert browser.js("return document.getElementById('filter').value") == ""
    unnamed = browser.js("""return [...document.querySelectorAll('button, input, select')].filter(e =>
        !(e.innerText || e.ariaLabel || e.title || e.labels?.length)).map(e => e.outerHTML)""")
    assert unnamed == []


def _looks(browser: Browser) -> None:
    """Light, dark, narrow and on paper: legible, nothing beside the page."""
    pictures = {}
    for theme in ("light", "dark"):
        browser.js("document.getElementById('theme').click()")
        browser.wait(f"document.getElementById('theme').innerText.toLowerCase() === '{theme}'")
        time.sleep(0.4)
        pictures[theme] = browser.picture(theme)
        assert min(browser.js(_CONTRASTS)) >= 4.5
    assert pictures["light"] != pictures["dark"] and min(map(len, pictures.values())) > 50_000
    browser.js("document.getElementById('theme').click()")
    browser.size(375)
    browser.picture("narrow")
    assert browser.js("return document.documentElement.scrollWidth <= innerWidth")
    browser.size(760)
    browser.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.picture("print")
    assert browser.js("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.js("return getComputedStyle(document.querySelector('nav')).display") == "none"
    paper = browser.driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert base64.b64decode(paper["data"]).startswith(b"%PDF")


#: The contrast of each text with what it stands on (WCAG 2.2, 1.4.3).
_CONTRASTS = """
const css = getComputedStyle(document.documentElement);
const light = (name) => {
  const hex = css.getPropertyValue(name).trim().slice(1);
  const [r, g, b] = [0, 2, 4].map(n => parseInt(hex.slice(n, n + 2), 16) / 255)
    .map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b;
};
const ratio = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
const texts = ["--text", "--muted", "--accent", "--best", "--good", "--bad"];
return texts.flatMap(t => [ratio(t, "--panel"), ratio(t, "--sunk")])
  .concat([ratio("--text", "--accent-soft"), ratio("--accent", "--accent-soft")])
  .concat([ratio("--text", "--bar"), ratio("--best", "--bar")]);
"""
