//! Users of this machine, as the name service reports them, and the switch of this process to one
//! of them.

use std::{
    ffi::{CString, OsString},
    io,
};

use nix::unistd::{self, getgrouplist};
use rustix::{
    fs::{Gid, Uid},
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};

/// A user account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name; the uid if the user has no name.
    pub name: String,
    /// The uid.
    pub uid: u32,
    gid: u32,
    home: OsString,
}

impl From<unistd::User> for User {
    fn from(user: unistd::User) -> Self {
        Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), home: user.dir.into() }
    }
}

impl User {
    /// Looks up a user by name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        unistd::User::from_name(name).ok().flatten().map(Self::from)
    }

    fn numbered(uid: u32) -> Option<Self> {
        unistd::User::from_uid(uid.into()).ok().flatten().map(Self::from)
    }

    /// Returns the name of the user `uid`, or the uid if the user has no name.
    #[must_use]
    pub fn name_of(uid: u32) -> String {
        Self::numbered(uid).map_or_else(|| uid.to_string(), |user| user.name)
    }

    /// Returns the user `uid`. A user without a name gets the group `gid`.
    pub(crate) fn of_ids(uid: u32, gid: u32) -> Self {
        Self::numbered(uid).unwrap_or_else(|| Self { name: uid.to_string(), uid, gid, home: "/".into() })
    }

    /// The user's groups, the primary group first.
    pub(crate) fn groups(&self) -> Vec<u32> {
        let name = CString::new(&*self.name).unwrap_or_default();
        let all = getgrouplist(&name, self.gid.into()).unwrap_or_default();
        let others = all.iter().map(|gid| gid.as_raw()).filter(|gid| *gid != self.gid);
        std::iter::once(self.gid).chain(others).collect()
    }

    /// The credentials of this user's processes.
    pub(crate) fn ids(&self) -> Ids {
        Ids { uid: self.uid, gid: self.gid, groups: self.groups() }
    }

    /// The home directory.
    pub(crate) fn home(&self) -> &OsString {
        &self.home
    }
}

/// The credentials of a user's processes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ids {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Ids {
    /// Encodes the credentials as one argument of the shim: `uid:gid:group,group`.
    pub(crate) fn to_arg(&self) -> OsString {
        let groups: Vec<_> = self.groups.iter().map(u32::to_string).collect();
        format!("{}:{}:{}", self.uid, self.gid, groups.join(",")).into()
    }

    /// Decodes [`Ids::to_arg`].
    pub(crate) fn from_arg(arg: &str) -> Option<Self> {
        let mut parts = arg.split(':');
        let (uid, gid) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let groups = parts.next()?.split(',').map(|gid| gid.parse().ok()).collect::<Option<_>>()?;
        Some(Self { uid, gid, groups })
    }

    /// Switches this process to the user, permanently. Call it before a second thread starts: the
    /// change affects only the calling thread.
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
        let root = User::named("root").unwrap();
        assert_eq!((root.uid, root.gid, &*root.home), (0, 0, std::ffi::OsStr::new("/root")));
        assert_eq!((User::name_of(0), User::named("no such user")), ("root".to_owned(), None));
        assert_eq!(User::name_of(4_000_000_000), "4000000000");
        let nameless = User::of_ids(4_000_000_000, 4_000_000_001);
        assert_eq!((&*nameless.name, nameless.groups()), ("4000000000", vec![4_000_000_001]));
        // The primary group is the first and is not there twice.
        for name in ["root", "nobody"] {
            let user = User::named(name).unwrap();
            let groups = user.groups();
            assert_eq!((groups[0], groups.iter().filter(|gid| **gid == user.gid).count()), (user.gid, 1));
        }
    }

    #[test]
    fn the_shim_parses_the_user_it_switches_to() {
        for groups in [vec![980], vec![980, 44]] {
            let ids = Ids { uid: 990, gid: 980, groups };
            assert_eq!(Ids::from_arg(ids.to_arg().to_str().unwrap()), Some(ids));
        }
        for wrong in ["", "1", "1:2", "1:2:", "1:2:x", "-1:2:3"] {
            assert_eq!(Ids::from_arg(wrong), None, "{wrong}");
        }
    }
}
