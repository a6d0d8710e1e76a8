//! The users of this machine, and the change of this process to one of them.

use std::{ffi::OsString, fs, io};

use rustix::{
    fs::{Gid, Uid},
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};

/// A line of /etc/passwd. The users of our units are there: sysusers.d puts them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name; the number where there is none.
    pub name: String,
    /// The number.
    pub uid: u32,
    pub(crate) gid: u32,
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

    pub(crate) fn find(is_it: impl Fn(&Self) -> bool) -> Option<Self> {
        fs::read_to_string("/etc/passwd").ok()?.lines().filter_map(Self::read).find(|user| is_it(user))
    }

    /// The user of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::find(|user| user.name == name)
    }

    /// The name of the user of this number, else the number.
    #[must_use]
    pub fn name_of(uid: u32) -> String {
        Self::find(|user| user.uid == uid).map_or_else(|| uid.to_string(), |user| user.name)
    }

    /// The user of this number, who need not have a name; without one, of the group `gid`.
    pub(crate) fn of_ids(uid: u32, gid: u32) -> Self {
        let nameless = || Self { name: uid.to_string(), uid, gid, home: "/".to_owned() };
        Self::find(|user| user.uid == uid).unwrap_or_else(nameless)
    }

    /// The groups it is in by the lines of /etc/group, its own first.
    pub(crate) fn groups(&self, text: &str) -> Vec<u32> {
        let others = text.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_in = fields.get(3)?.split(',').any(|member| member == self.name);
            fields[2].parse().ok().filter(|gid| is_in && *gid != self.gid)
        });
        std::iter::once(self.gid).chain(others).collect()
    }

    /// What a process of this user has to be given.
    pub(crate) fn ids(&self) -> Ids {
        let groups = self.groups(&fs::read_to_string("/etc/group").unwrap_or_default());
        Ids { uid: self.uid, gid: self.gid, groups }
    }

    /// The home directory.
    pub(crate) fn home(&self) -> &str {
        &self.home
    }
}

/// What makes a process a user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ids {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Ids {
    /// As one argument of the shim: `uid:gid:group,group`.
    pub(crate) fn to_arg(&self) -> OsString {
        let groups: Vec<_> = self.groups.iter().map(u32::to_string).collect();
        format!("{}:{}:{}", self.uid, self.gid, groups.join(",")).into()
    }

    /// What [`Ids::to_arg`] has written.
    pub(crate) fn from_arg(arg: &str) -> Option<Self> {
        let mut parts = arg.split(':');
        let (uid, gid) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let groups = parts.next()?.split(',').map(|gid| gid.parse().ok()).collect::<Option<_>>()?;
        Some(Self { uid, gid, groups })
    }

    /// Gives this process to the user, for good. Before it has a second thread: the change is the calling thread's alone.
    pub(crate) fn assume(&self) -> io::Result<()> {
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        set_thread_groups(&groups)?;
        set_thread_gid(Gid::from_raw(self.gid))?;
        Ok(set_thread_uid(Uid::from_raw(self.uid))?)
    }
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

    #[test]
    fn the_shim_reads_who_it_is_to_be() {
        for groups in [vec![980], vec![980, 44]] {
            let ids = Ids { uid: 990, gid: 980, groups };
            assert_eq!(Ids::from_arg(ids.to_arg().to_str().unwrap()), Some(ids));
        }
        for wrong in ["", "1", "1:2", "1:2:", "1:2:x", "-1:2:3"] {
            assert_eq!(Ids::from_arg(wrong), None, "{wrong}");
        }
    }
}
