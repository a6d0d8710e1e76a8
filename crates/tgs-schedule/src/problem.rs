//! What is wrong with a timetable's file, and where. All problems of a file are reported together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most problems that are kept of one file.
const MOST: usize = 50;

/// One fault of a timetable's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The line in the file, from 1.
    pub line: usize,
    /// The slot: its name in quotes, or its number from 1 if it has no usable name.
    pub slot: Option<String>,
    /// The key, if the problem is one of a key.
    pub key: Option<String>,
    /// What is wrong and how to fix it.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)?;
        if let Some(slot) = &self.slot {
            write!(f, ", slot {slot}")?;
        }
        write!(f, ": ")?;
        if let Some(key) = &self.key {
            write!(f, "{key} ")?;
        }
        f.write_str(&self.text)
    }
}

/// The problems of a file, in the order of its lines; never empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimetableProblems {
    /// The first of them, at most 50.
    pub list: Vec<Problem>,
    /// How many there are beside those.
    pub more: usize,
}

impl TimetableProblems {
    /// Sorts and shortens; `None` if there are none.
    pub(crate) fn of(mut list: Vec<Problem>) -> Option<Self> {
        list.sort_by_key(|problem| problem.line);
        let more = list.len().saturating_sub(MOST);
        list.truncate(MOST);
        (!list.is_empty()).then_some(Self { list, more })
    }
}

impl fmt::Display for TimetableProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for TimetableProblems {}
