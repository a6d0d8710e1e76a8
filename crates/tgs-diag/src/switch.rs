//! Root becomes the unit's user before anything is looked at as the unit does.
//!
//! What the unit may read and write can only be tried by its user. And yt-dlp lies where that user may write: root must
//! not run what somebody else can replace.

use std::{env, fs, os::unix::process::CommandExt, path::Path, process::Command};

use rustix::{
    fs::{Gid, Uid},
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};

use crate::{cli::Cli, view::View};

/// A line of /etc/passwd. The users of our units are there: sysusers.d puts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    /// The name.
    pub(crate) name: String,
    /// The number.
    pub(crate) uid: u32,
    gid: u32,
    home: String,
}

impl User {
    fn read(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, ..] = fields[..] else { return None };
        Some(Self {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.to_owned(),
        })
    }

    fn find(is_it: impl Fn(&Self) -> bool) -> Option<Self> {
        fs::read_to_string("/etc/passwd").ok()?.lines().filter_map(Self::read).find(|user| is_it(user))
    }

    /// The user of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::find(|user| user.name == name)
    }

    /// The name of the user of this number, else the number.
    pub(crate) fn name_of(uid: u32) -> String {
        Self::find(|user| user.uid == uid).map_or_else(|| uid.to_string(), |user| user.name)
    }

    /// The groups it is in, its own first.
    fn groups(&self, text: &str) -> Vec<u32> {
        let others = text.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_in = fields.get(3)?.split(',').any(|member| member == self.name);
            fields[2].parse().ok().filter(|gid| is_in && *gid != self.gid)
        });
        std::iter::once(self.gid).chain(others).collect()
    }
}

/// Goes on as the unit's user, from the beginning, where this is root and the unit's own `.env` is looked at. Returns
/// where there is nothing to change, and with words where that failed.
pub(crate) fn to_user_of(cli: &Cli, view: &View) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() || !view.as_unit {
        return Ok(());
    }
    let Some(user) = view.unit.as_ref().ok().and_then(|unit| unit.user()).and_then(User::named) else {
        return Ok(());
    };
    if user.uid == 0 {
        return Ok(());
    }
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("--unit")
        .arg(&view.unit_name)
        .args(cli.offline.then_some("--offline"))
        .args(cli.json.then_some("--json"));
    if let Some(env) = &view.env {
        let path = std::path::absolute(&env.path).unwrap_or_else(|_| env.path.clone());
        command.arg("--env-file").arg(path);
    }
    if view.unit.as_ref().is_ok_and(|unit| unit.runs_replaced(Path::new("/proc"))) {
        command.arg("--replaced");
    }
    command.env("HOME", &user.home).env("USER", &user.name).env("LOGNAME", &user.name);
    // Root's own.
    for name in ["TMPDIR", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    let groups: Vec<Gid> = user.groups(&text).into_iter().map(Gid::from_raw).collect();
    let failed =
        |e: &dyn std::fmt::Display| format!("failed to become {}, as which the unit runs: {e}", user.name);
    // They are this thread's alone, which is the one that is left after the exec.
    set_thread_groups(&groups)
        .and_then(|()| set_thread_gid(Gid::from_raw(user.gid)))
        .and_then(|()| set_thread_uid(Uid::from_raw(user.uid)))
        .map_err(|e| failed(&e))?;
    // Where root was, the user may not be.
    env::set_current_dir("/").map_err(|e| failed(&e))?;
    Err(failed(&command.exec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups() {
        let user = User::read("tgstream:x:990:980:tgs:/var/lib/tg_video_streamer:/usr/sbin/nologin").unwrap();
        assert_eq!(
            (&*user.name, user.uid, user.gid, &*user.home),
            ("tgstream", 990, 980, "/var/lib/tg_video_streamer")
        );
        let groups =
            "media:x:44:a,tgstream\nother:x:45:tgstream2\ntgstream:x:980:tgstream\nbroken\nx:y:z:tgstream\n";
        assert_eq!(user.groups(groups), [980, 44]);
        assert_eq!(User::read("root:x:0"), None);
        assert_eq!((User::name_of(0), User::named("root").unwrap().uid), ("root".to_owned(), 0));
        assert_eq!(User::name_of(4_000_000_000), "4000000000");
    }
}
