"""The page in a browser, from a file: rated by keys and by clicks, and the answers collected."""

import http.server
import importlib.util
import json
import pathlib
import shutil
import threading
import time

import pytest
from study import material

from jaxgesture.study import collect, kit

CHROMIUM = pathlib.Path("/usr/bin/chromium")
DRIVER = pathlib.Path("/usr/bin/chromedriver")
MISSING = [str(path) for path in (CHROMIUM, DRIVER) if not path.exists()]
if importlib.util.find_spec("selenium") is None:
    MISSING.append("the package selenium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no browser to test with: {', '.join(MISSING)}"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    return kit.make(
        material.make_systems(folder),
        folder / "study",
        raters=4,
        title="Speakers <i>& others</i>",
        send_to="Mail it to a@b.c.",
    )


@pytest.fixture
def browser(tmp_path):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (
        "headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "disable-dev-shm-usage", "mute-audio", f"user-data-dir={tmp_path / 'profile'}",
        "window-size=1280,900",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    (tmp_path / "downloads").mkdir()
    driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior",
        {"behavior": "allow", "downloadPath": str(tmp_path / "downloads")},
    )
    yield Page(driver, tmp_path / "downloads")
    driver.quit()


class Page:
    """What a rater does and sees."""

    def __init__(self, driver, downloads):
        self.driver = driver
        self.downloads = downloads

    def open(self, study, query=""):
        self.driver.get((study.page / "index.html").as_uri() + query)

    def at(self, selector):
        return self.driver.find_element("css selector", selector)

    def text(self, selector):
        return self.at(selector).text

    def keys(self, text):
        self.driver.switch_to.active_element.send_keys(text)

    def script(self, text):
        return self.driver.execute_script(f"return {text}")

    def wait(self, condition, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.script(
                "[document.body.innerText, video.error && video.error.message]"
            )
            time.sleep(0.02)

    def begin(self, rater):
        box = self.at("#rater")
        box.clear()
        box.send_keys(rater, "\ue007")
        self.wait(lambda: self.at("#rating").is_displayed())

    def played(self, start):
        """Starts the video by `start` and waits until it was seen to its end once more."""
        plays = self.script("answer().plays")
        start()
        self.wait(lambda: self.script("answer().plays") > plays)

    def saved(self):
        """The file that is downloaded next."""
        before = set(self.downloads.iterdir())
        self.at("#download").click()
        found = lambda: {p for p in self.downloads.glob("*.json")} - before  # noqa: E731
        self.wait(found)
        return found().pop()


def numbers(token, question):
    """What is answered, from the token, so that a mix-up would show."""
    return 1 + (int(token, 16) + material.QUESTIONS.index(question)) % 5


def rate_by_keys(page):
    token = page.script("token()")
    page.played(lambda: page.keys("p"))
    for question in material.QUESTIONS:
        page.keys(str(numbers(token, question)))
    page.keys("\ue007")


def rate_by_clicks(page):
    token = page.script("token()")
    page.played(page.at("#play").click)
    for question in material.QUESTIONS:
        page.at(f"input[name={question}][value='{numbers(token, question)}']").click()
    page.at("#next").click()


def test_a_whole_study_from_a_file(study, browser):
    browser.open(study, "?rater=3")
    assert browser.driver.title == browser.text("h1.title") == "Speakers <i>& others</i>"
    assert "You will watch 12 short videos" in browser.text("#welcome")
    assert browser.at("#rater").get_attribute("value") == "3"
    browser.begin("3")
    order = browser.script("record.order")
    public = json.loads((study.page / "study.json").read_text())
    assert sorted(order) == public["plans"][2] and order != sorted(order)

    # Nothing can be rated before the video was seen to its end.
    assert browser.text("#where") == "Video 1 of 12"
    assert not browser.at("input[name=realness]").is_enabled()
    browser.keys("4")
    browser.at("#next").click()
    assert browser.text("#missing") == "Please play the video to its end first."
    browser.script("void (video.currentTime = video.duration)")
    time.sleep(0.3)
    assert browser.script("[answer().plays, answer().ratings]") == [0, {}]

    browser.played(browser.at("#play").click)
    browser.keys("2")
    browser.at("#next").click()
    assert browser.text("#missing").startswith("Still to rate: Diversity of gesture, Synchrony")
    for _ in range(2):
        browser.played(browser.at("#play").click)
    rate_by_clicks(browser)
    for _ in range(4):
        rate_by_keys(browser)
    assert browser.text("#where") == "Video 6 of 12" and browser.script("$('progress').value") == 5

    # A closed tab loses nothing, and goes on in the same order.
    before = browser.script("JSON.stringify(record)")
    browser.driver.get("about:blank")
    browser.open(study)
    assert browser.script("JSON.stringify(record)") == before
    assert browser.text("#where") == "Video 6 of 12"

    # Back shows what was answered, and it can be changed.
    browser.at("#back").click()
    assert browser.text("#where") == "Video 5 of 12"
    given = browser.script("answer().ratings")
    checked = browser.at("input[name=overall]:checked")
    assert int(checked.get_attribute("value")) == given["overall"]
    browser.at("#next").click()

    for index in range(5, 12):
        (rate_by_clicks if index % 2 else rate_by_keys)(browser)
    browser.wait(lambda: browser.at("#end").is_displayed())
    assert browser.text("#done") == "You rated 12 of 12 videos."
    assert "Mail it to a@b.c." in browser.text("#end")
    file = browser.saved()
    assert f"Saved as {file.name} in your downloads." in browser.text("#saved")

    found = json.loads(file.read_text())
    assert file.name == f"answers-{public['study']}-3.json"
    assert set(found) == {
        "format", "study", "rater", "plan", "started", "finished", "order", "answers",
    }  # fmt: skip
    assert (found["rater"], found["plan"], found["order"]) == ("3", 3, order)
    assert found["started"] < found["finished"]
    plays = [found["answers"][token]["plays"] for token in order]
    assert plays[0] == 4 and plays[1:] == [1] * 11
    table = collect.collect(study.key, [browser.downloads])
    assert table.used[0].complete and not table.left_out
    assert table.used[0].ratings == {
        (token, question): numbers(token, question)
        for token in order
        for question in material.QUESTIONS
    }


def test_stopping_changing_places_and_names(study, browser):
    browser.open(study)
    browser.at("#begin").click()
    assert "Please type your number or name" in browser.text("#rater-problem")
    browser.at("#generate").click()
    name = browser.at("#rater").get_attribute("value")
    assert len(name) == 6
    browser.at("#begin").click()
    rate_by_keys(browser)
    first = browser.script("record.order")
    browser.at("#stop").click()
    browser.wait(lambda: any(browser.downloads.glob("*.json")))
    assert "You can go on later" in browser.text("#state")
    with pytest.warns(UserWarning, match="left 11 videos without all ratings; kept"):
        table = collect.collect(study.key, [browser.downloads], keep_incomplete=True)
    assert (table.used[0].rater, len(table.used[0].ratings)) == (name, 4)

    # Somebody else on the same device has an order of their own; the first goes on as before.
    browser.at("#rating .other").click()
    browser.begin("Zoë & Ali / 2")
    assert sorted(browser.script("record.order")) == sorted(
        first
    )  # twelve videos are all there are
    assert browser.script("record.order") != first
    assert browser.text("#where") == "Video 1 of 12"
    browser.at("#rating .other").click()
    browser.begin(name)
    assert browser.text("#where") == "Video 2 of 12" and browser.script("record.order") == first


def test_a_video_that_does_not_play_can_be_passed(study, browser, tmp_path):
    shutil.copytree(study.page, tmp_path / "page")
    for path in (tmp_path / "page" / "videos").iterdir():
        path.write_bytes(b"no video")
    browser.driver.get((tmp_path / "page" / "index.html").as_uri())
    browser.begin("1")
    browser.wait(lambda: browser.at("#failed").is_displayed())
    assert "This video does not play here" in browser.text("#failed")
    browser.at("#skip").click()
    assert browser.text("#where") == "Video 2 of 12"
    assert browser.script("record.answers[record.order[0]].failed") is True


def test_served_on_a_phone(study, browser):
    """From a static host, 390 pixels wide: nothing sticks out, nothing else is asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(study.page))

        def log_message(self, format, *arguments):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        browser.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
        )
        browser.driver.get(f"http://127.0.0.1:{server.server_port}/index.html?rater=2")
        assert browser.script("document.documentElement.scrollWidth") == 390
        browser.begin("2")
        rate_by_clicks(browser)
        rate_by_keys(browser)
        assert browser.text("#where") == "Video 3 of 12"
        assert browser.script("document.documentElement.scrollWidth") == 390
        # A finger needs 44 pixels.
        assert browser.script(
            "[...document.querySelectorAll('.scale label, #next, #back')]"
            ".every((e) => e.getBoundingClientRect().height >= 44)"
        )
    finally:
        server.shutdown()
        server.server_close()
    assert all(path.startswith(("/index.html", "/videos/")) for path in asked) and len(asked) > 2
