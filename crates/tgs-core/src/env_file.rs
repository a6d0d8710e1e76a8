//! The `.env` file, restricted to lines that every reader parses alike.
//!
//! systemd's `EnvironmentFile=` and dotenv differ on `$`, backslashes, quotes and comments. A line
//! is therefore a name, `=` and a value in one of three forms; any other line is refused with a
//! hint:
//!
//! - bare: no blanks, quotes, backslashes or `$`, no leading `#`;
//! - `'…'`: all characters are literal;
//! - `"…"`: with the escapes `\\`, `\"` and `\$`.
//!
//! A comment after a value and the word `export`, unsupported by systemd, are accepted with a
//! warning. Messages name lines and variables, never a value. [`crate::settings`] interprets names.

mod edit;
mod parse;
pub mod writer;

pub use self::{
    edit::{Unwritable, quote, set},
    parse::{Entry, EnvFile, Note, parse},
};
