//! A browser of the machine, driven through chromedriver by the library fantoccini. Each call waits
//! for its end.

use std::{
    future::Future,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{Actions, InputSource, KeyAction, KeyActions, MOUSE_BUTTON_LEFT, MouseActions, PointerAction},
    elements::Element,
    error::CmdError,
    wd::WebDriverCompatibleCommand,
};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::{self, Runtime};
use ureq::http::Method;
use url::{ParseError, Url};

/// The limit of one request to the driver.
const LIMIT: Duration = Duration::from_mins(1);

/// A headless chromium with one page.
pub(crate) struct Browser {
    driver: Child,
    runtime: Runtime,
    client: Client,
    /// The profile; the temporary directory of the browser, too.
    _profile: tempfile::TempDir,
}

/// A command of chromedriver's own.
#[derive(Debug)]
struct ChromeCommand {
    /// Its path in the session.
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for ChromeCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
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
        let wanted = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" } });
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let url = format!("http://127.0.0.1:{}", port.unwrap());
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted.as_object().unwrap().clone());
        let client = runtime.block_on(builder.connect(&url)).unwrap();
        Self { driver, runtime, client, _profile: profile }
    }

    /// The result of a request.
    #[track_caller]
    fn wait_on<T>(&self, request: impl Future<Output = Result<T, CmdError>>) -> T {
        let within = async { tokio::time::timeout(LIMIT, request).await };
        self.runtime.block_on(within).expect("the driver answers").unwrap()
    }

    pub(crate) fn open(&self, url: &str) {
        self.wait_on(self.client.goto(url));
    }

    pub(crate) fn reload(&self) {
        self.wait_on(self.client.refresh());
    }

    /// Runs the body of a function in the page and returns its result.
    pub(crate) fn run(&self, script: &str, args: &Value) -> Value {
        self.wait_on(self.client.execute(script, vec![args.clone()]))
    }

    /// Runs the body of an async function and returns what it resolves to.
    pub(crate) fn run_async(&self, script: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; (async () => {{ {script} }})().then(done, (error) => done(String(error)));"
        );
        self.wait_on(self.client.execute_async(&script, Vec::new()))
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

    fn find(&self, selector: &str) -> Element {
        self.wait(&format!("document.querySelector({}) !== null", json!(selector)));
        self.wait_on(self.client.find(Locator::Css(selector)))
    }

    pub(crate) fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.wait_on(element.click());
    }

    /// Types into a field, after what stands there.
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.wait_on(element.send_keys(text));
    }

    /// Presses keys, wherever the focus is. WebDriver's names: `\u{e007}` is Enter.
    pub(crate) fn press(&self, keys: &str) {
        let keys = keys.chars().fold(KeyActions::new("keys".into()), |keys, value| {
            keys.then(KeyAction::Down { value }).then(KeyAction::Up { value })
        });
        self.wait_on(self.client.perform_actions(keys));
    }

    /// Drags an element by so many pixels, with the mouse.
    pub(crate) fn drag(&self, selector: &str, down: i32) {
        let duration = Some(Duration::from_millis(100));
        let element = self.find(selector);
        let by = |down: i32| PointerAction::MoveBy { duration, x: 0.0, y: f64::from(down) };
        let mouse = MouseActions::new("mouse".into())
            .then(PointerAction::MoveToElement { element, duration, x: 0.0, y: 0.0 })
            .then(PointerAction::Down { button: MOUSE_BUTTON_LEFT })
            .then(by(down / 2))
            .then(by(down - down / 2))
            .then(PointerAction::Up { button: MOUSE_BUTTON_LEFT });
        self.wait_on(self.client.perform_actions(Actions::from(mouse)));
    }

    /// Shows the page as on a screen of this size; a phone's if `mobile`.
    pub(crate) fn resize(&self, width: u32, height: u32, mobile: bool) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": if mobile { 2 } else { 1 }, "mobile": mobile });
        self.devtools("Emulation.setDeviceMetricsOverride", &params);
    }

    /// Sends a command of the DevTools protocol.
    pub(crate) fn devtools(&self, command: &str, params: &Value) -> Value {
        let body = json!({ "cmd": command, "params": params });
        self.wait_on(self.client.issue_cmd(ChromeCommand { path: "goog/cdp/execute", body }))
    }

    /// A JPEG of the page as it is shown.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let shot = self.devtools("Page.captureScreenshot", &json!({ "format": "jpeg", "quality": 80 }));
        BASE64_STANDARD.decode(shot["data"].as_str().unwrap()).unwrap()
    }

    /// What the page has written to its console as an error, a refusal of its policy included.
    pub(crate) fn errors(&self) -> Vec<String> {
        let body = json!({ "type": "browser" });
        let entries = self.wait_on(self.client.issue_cmd(ChromeCommand { path: "se/log", body }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let severe = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        severe.filter_map(|entry| entry["message"].as_str().map(str::to_owned)).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let client = self.client.clone();
        let _ = self.runtime.block_on(async { tokio::time::timeout(LIMIT, client.close()).await });
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
