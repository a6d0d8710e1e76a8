//! The live input on the desk: the publisher's picture is seen first, then it is put on air.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use tgs_e2e::nginx::free_port;

use super::{SECOND, Scene, colour, is_accessible, shows_in};

/// Longer than the shortest key that is accepted.
const KEY: &str = "0123456789abcdef-key";

/// The settings of the live input: the same for each start of the broadcast.
pub(super) fn settings(dir: &Path) -> [(&'static str, String); 3] {
    let path = dir.join("live-input");
    if !path.exists() {
        fs::write(&path, format!("rtmp://127.0.0.1:{}/live", free_port().unwrap())).unwrap();
    }
    let input = fs::read_to_string(&path).unwrap();
    [("LIVE_INPUT", input), ("LIVE_KEY", KEY.to_owned()), ("LIVE_START", "ask".to_owned())]
}

/// A publisher of the blue clip; killed when dropped.
struct Publisher(Child);

impl Publisher {
    fn start(dir: &Path) -> Self {
        let url = format!("{}/{KEY}", fs::read_to_string(dir.join("live-input")).unwrap());
        let mut command = Command::new("ffmpeg");
        command.args(["-nostdin", "-v", "error", "-re", "-i"]).arg(colour("blue"));
        command.args(["-c", "copy", "-f", "flv", &url]).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Scene {
    pub(super) fn a_publisher_is_seen_and_put_on_air(&self) {
        let browser = &self.browser;
        browser.wait("document.getElementById('live-preview')?.disabled === true");
        let publisher = Publisher::start(self.dir.path());
        browser.wait_for("document.getElementById('live-preview')?.disabled === false", 30 * SECOND);
        browser.click("#live-preview");
        shows_in(browser, "preview", "blue");
        is_accessible(browser, "preview");
        // The broadcast goes on.
        shows_in(browser, "picture", "red");
        browser.click("#live-take");
        browser.click("dialog .primary");
        shows_in(browser, "picture", "blue");
        drop(publisher);
        shows_in(browser, "picture", "red");
        browser.wait("document.getElementById('preview') === null");
    }
}
