"""A page in a browser."""

from __future__ import annotations


class Page:
    """The page as a person uses it."""

    def __init__(self, driver, path, width=1280):
        self.driver = driver
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.get(path.as_uri())

    def find(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def texts(self, selector):
        # textContent, since a listing may be longer than what is on the screen
        script = "return [...document.querySelectorAll(arguments[0])].map(element => element.textContent)"
        return self.driver.execute_script(script, selector)

    def choose(self, name, value):
        from selenium.webdriver.support.ui import Select

        Select(self.one(f"select[name={name}]")).select_by_value(value)

    def type(self, name, text):
        field = self.one(f"input[name={name}]")
        field.clear()
        field.send_keys(text)

    def overflow(self):
        return self.driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
