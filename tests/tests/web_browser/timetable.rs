//! The day view of the timetable.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use super::{Scene, is_accessible};

/// The times of the day view at which a slot begins.
const SLOTS: &str = "[...document.querySelectorAll('.day .slot')].map((slot) =>
    slot.querySelector('time').textContent + ' ' + slot.querySelector('.name').textContent).join()";

/// A message would lie over what is clicked.
const NO_TOAST: &str = "!document.querySelector('.toast')";

pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("timetable.toml")
}

/// Writes the timetable, with these slots.
pub(super) fn write(dir: &Path, slots: &str) {
    fs::write(path(dir), format!("# mine\ntimezone = \"UTC\"\n{slots}")).unwrap();
}

/// An hour of the day that is far from now.
fn hour() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    if now / 3600 % 24 < 12 { 18 } else { 6 }
}

/// A slot of ten minutes then.
pub(super) fn slot() -> String {
    let at = format!("at = \"{:02}:45\"", hour());
    format!("[[slot]]\nname = \"Evening news\"\n{at}\nfor = \"10m\"\nplay = \"library/grey.mp4\"\n")
}

impl Scene {
    fn timetable(&self) -> String {
        fs::read_to_string(path(self.dir.path())).unwrap()
    }

    /// By the form, then by its button and the keyboard; a path elsewhere is refused.
    pub(super) fn a_slot_is_added_and_moved(&self) {
        let browser = &self.browser;
        let set = "document.getElementById(arguments[0][0]).value = arguments[0][1];";
        browser.wait(NO_TOAST);
        browser.click("#tab-timetable");
        browser.wait("document.getElementById('day-now')?.offsetWidth > 0");
        browser.wait("document.querySelector('.day .current .aired')?.offsetWidth > 0");
        browser.click("#slot-new summary");
        browser.type_into("#slot-name", "Evening news");
        let at = format!("{:02}:30", hour());
        browser.run(set, &json!(["slot-at", at]));
        browser.type_into("#slot-for", "10m");
        browser.type_into("#slot-play", "/etc/passwd\u{e007}");
        browser.wait_text("there is no such file in the library");
        browser.run(set, &json!(["slot-play", ""]));
        let play = self.dir.path().join("library/grey.mp4");
        browser.type_into("#slot-play", &format!("{}\u{e007}", play.display()));
        browser.wait(&format!("{SLOTS} === '{at} Evening news'"));
        let text = self.timetable();
        assert!(text.starts_with("# mine\ntimezone = \"UTC\"\n"), "{text}");
        for line in ["name = \"Evening news\"", &format!("at = \"{at}\""), "for = \"10m\""] {
            assert!(text.contains(line), "{text}");
        }
        is_accessible(browser, "timetable");

        browser.run("document.querySelector('[data-act=move-0]').focus();", &Value::Null);
        browser.press("\u{e007}");
        browser.wait("document.querySelector('dialog #move-to') !== null");
        is_accessible(browser, "move a slot");
        let at = format!("{:02}:45", hour());
        browser.run(set, &json!(["move-to", at]));
        browser.click("dialog .primary");
        browser.wait(&format!("{SLOTS} === '{at} Evening news'"));
        assert!(self.timetable().contains(&format!("at = \"{at}\"")), "{}", self.timetable());

        // Changed meanwhile: nothing is overwritten.
        let theirs = self.timetable() + "# theirs\n";
        browser.wait(NO_TOAST);
        browser.click("[data-act=remove-0]");
        browser.wait("document.querySelector('dialog .primary') !== null");
        fs::write(path(self.dir.path()), &theirs).unwrap();
        browser.click("dialog .primary");
        browser.wait_text("The timetable was changed meanwhile");
        assert_eq!(self.timetable(), theirs);
        browser.wait(NO_TOAST);
        browser.click("#tab-playlist");
    }

    pub(super) fn a_viewer_sees_the_timetable_and_changes_nothing(&self) {
        let browser = &self.browser;
        browser.click("#tab-timetable");
        browser.wait(&format!("{SLOTS}.endsWith(' Evening news')"));
        let buttons = browser.run(
            "return document.querySelectorAll('#slot-new, .day button, #live-take, #live-preview').length;",
            &Value::Null,
        );
        assert_eq!(buttons, 0);
        let status = browser.run_async(
            "const { etag } = await (await fetch('/api/channels/main/timetable')).json();
             const answer = await fetch('/api/channels/main/timetable', { method: 'POST',
                headers: { 'content-type': 'application/json' },
                body: JSON.stringify({ action: 'remove', etag, slot: 0, name: 'Evening news' }) });
             return answer.status;",
        );
        assert_eq!(status, 403);
    }
}
