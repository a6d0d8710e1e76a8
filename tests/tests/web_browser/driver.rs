//! A browser of the machine, driven through chromedriver by the protocol of WebDriver.
//! Source: <https://www.w3.org/TR/webdriver2/>.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A headless chromium with one page.
pub(crate) struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    /// The profile; the temporary directory of the browser, too.
    _profile: tempfile::TempDir,
}

impl Browser {
    pub(crate) fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "chromedriver", "--port=0"])
            .env("HOME", profile.path())
            .env("TMPDIR", profile.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver: cargo xtask test installs it");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| {
            line.split_once("started successfully on port ")
                .map(|(_, port)| port.trim_end_matches('.').to_owned())
        });
        // The pipe must stay open and be read.
        thread::spawn(move || lines.for_each(drop));
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(1)))
            .build()
            .into();
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{}/session", port.unwrap()),
            agent,
            _profile: profile,
        };
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--mute-audio",
            "--force-prefers-reduced-motion",
            "--lang=en",
            "--window-size=1440,900",
        ];
        let options = json!({ "args": args });
        let wanted = json!({ "capabilities": { "alwaysMatch": { "browserName": "chrome",
            "goog:chromeOptions": options, "goog:loggingPrefs": { "browser": "ALL" } } } });
        let made = browser.post("", &wanted);
        browser.session = format!("{}/{}", browser.session, made["sessionId"].as_str().unwrap());
        browser
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let mut answer =
            self.agent.post(&url).header("content-type", "application/json").send(body.to_string()).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer.status(), 200, "{path}: {}", value["value"]["message"]);
        value["value"].take()
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    pub(crate) fn reload(&self) {
        self.post("/refresh", &json!({}));
    }

    /// Runs the body of a function in the page and returns its result.
    pub(crate) fn run(&self, script: &str, args: &Value) -> Value {
        self.post("/execute/sync", &json!({ "script": script, "args": [args] }))
    }

    /// Runs the body of an async function and returns what it resolves to.
    pub(crate) fn run_async(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; (async () => {{ {script} }})().then(done, (error) => done(String(error)));"
        );
        self.post("/execute/async", &json!({ "script": script, "args": [] }))
    }

    /// Waits until `expression` is true, and returns it.
    pub(crate) fn wait(&self, expression: &str) -> Value {
        self.wait_for(expression, Duration::from_secs(20))
    }

    pub(crate) fn wait_for(&self, expression: &str, limit: Duration) -> Value {
        let until = Instant::now() + limit;
        loop {
            let value = self.run(&format!("return {expression};"), &Value::Null);
            if !matches!(value, Value::Null | Value::Bool(false)) && value != json!(0) && value != json!("") {
                return value;
            }
            assert!(
                Instant::now() < until,
                "not within {} s: {expression}\n{}",
                limit.as_secs(),
                self.text()
            );
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// The text of the page.
    pub(crate) fn text(&self) -> String {
        self.run("return document.body.innerText;", &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a text of the page.
    pub(crate) fn wait_text(&self, text: &str) {
        self.wait(&format!("document.body.innerText.includes({})", json!(text)));
    }

    fn find(&self, selector: &str) -> String {
        self.wait(&format!("document.querySelector({}) !== null", json!(selector)));
        let found = self.post("/element", &json!({ "using": "css selector", "value": selector }));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    pub(crate) fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into a field, after what stands there.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.post(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Presses keys, wherever the focus is. WebDriver's names: `\u{e007}` is Enter.
    pub(crate) fn press(&self, keys: &str) {
        let actions: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
            })
            .collect();
        self.post("/actions", &json!({ "actions": [{ "type": "key", "id": "keys", "actions": actions }] }));
    }

    /// Drags an element by so many pixels, with the mouse.
    pub(crate) fn drag(&self, selector: &str, down: i32) {
        let element = self.find(selector);
        let origin = json!({ ELEMENT: element });
        let moved = |origin: Value, y: i32| json!({ "type": "pointerMove", "duration": 100, "origin": origin, "x": 0, "y": y });
        let actions = [
            moved(origin, 0),
            json!({ "type": "pointerDown", "button": 0 }),
            moved(json!("pointer"), down / 2),
            moved(json!("pointer"), down - down / 2),
            json!({ "type": "pointerUp", "button": 0 }),
        ];
        let pointer = json!({ "type": "pointer", "id": "mouse", "parameters": { "pointerType": "mouse" }, "actions": actions });
        self.post("/actions", &json!({ "actions": [pointer] }));
    }

    /// Shows the page as on a screen of this size; a phone's if `mobile`.
    pub(crate) fn resize(&self, width: u32, height: u32, mobile: bool) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": if mobile { 2 } else { 1 }, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", &params);
    }

    /// Sends a command of the DevTools protocol.
    pub(crate) fn devtools(&self, command: &str, params: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    /// A JPEG of the page as it is shown.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let shot = self.devtools("Page.captureScreenshot", &json!({ "format": "jpeg", "quality": 80 }));
        BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    /// What the page has written to its console as an error, a refusal of its policy included.
    pub(crate) fn errors(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        severe.filter_map(|entry| entry["message"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// axe-core, which `cargo xtask test` installs from npm.
pub(crate) fn axe() -> String {
    let path: PathBuf = tgs_e2e::tools::axe();
    std::fs::read_to_string(&path)
        .unwrap_or_else(|_| panic!("{}: cargo xtask test installs it", path.display()))
}
