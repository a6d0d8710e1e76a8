//! The one `main` of all tools: exec shim, first process of a container, command line, work, exit
//! code.

use std::process::ExitCode;

use clap::Parser;

use crate::{
    error::CliError,
    process::{self, init::init},
};

/// Runs a tool. Must be the first call of its `main`: this process may be the shim of a child.
pub fn main<C: Parser>(run: impl FnOnce(C) -> Result<ExitCode, CliError>) -> ExitCode {
    if let Some(code) = process::shim().or_else(init) {
        return code;
    }
    let done = C::try_parse().map_err(CliError::from).and_then(run);
    done.unwrap_or_else(|error| {
        error.print(C::command().get_name());
        error.code().into()
    })
}
