//! The programs of a release.

/// The installed programs and their command lines.
pub(crate) fn tools() -> [(&'static str, clap::Command); 8] {
    [
        ("tgs-stream", tgs_stream::command()),
        ("tgs-session", tgs_session::command()),
        ("tgs-ctl", tgs_ctl::command()),
        ("tgs-diag", tgs_diag::command()),
        ("tgs-check-active", tgs_check_active::command()),
        ("tgs-ytdlp-update", tgs_ytdlp_update::command()),
        ("tgs-web", tgs_web::command()),
        ("tgs-bot", tgs_bot::command()),
    ]
}

/// The commands below `command`, each with its full name (`tgs-ctl queue add`).
pub(crate) fn subcommands(command: &clap::Command) -> Vec<(String, clap::Command)> {
    let mut built = command.clone();
    built.build();
    let mut found = Vec::new();
    for below in built.get_subcommands().filter(|below| below.get_name() != "help") {
        found.push((below.get_bin_name().unwrap_or_default().to_owned(), below.clone()));
        found.extend(subcommands(below));
    }
    found
}
