//! Runs `tgs-ctl`: connects, sends the request, prints the result.

use std::{process::ExitCode, time::SystemTime};

use serde_json::{Value, json};
use tgs_control::{
    AsRunListing, BroadcastStatus, ControlClient, LiveStatus, OutputListing, PlaylistPage, QueueListing,
    RecordCut, RecordListing, SchedulePlan, ScheduleText,
    channels::Channel,
    method::{
        AsRunParams, Call, GotoParams, LogLines, LogTailParams, NoParams, OutputParams, PlaylistListParams,
        QueueAddParams, QueueEntryParams, QueueMoveParams, Queued, RecordCutParams, RecordListParams,
        SchedulePlanParams, ScheduleSetParams, SeekParams, StopParams, SubscribeParams, TitleParams,
    },
};
use tgs_core::{error::CliError, exit::Code, remedy};

use crate::{
    as_run,
    cli::{
        AsRunArgs, Cli, CtlCommand, LiveCommand, PlaylistCommand, QueueCommand, ScheduleArgs, ScheduleCommand,
    },
    connect, events, listings, live, live_input, monitor,
    output::{self, OutputReader},
    outputs::{self, OutputCommand},
    record::{self, RecordCommand},
    seek_time::SeekTime,
    status::StatusView,
    text::{plain, plain_json, table},
    timetable, upgrade,
};

/// Runs the tool.
pub fn run(cli: Cli) -> Result<ExitCode, CliError> {
    remedy::set_env_file(None);
    match &cli.command {
        CtlCommand::Channels { json } => channels(*json)?,
        CtlCommand::Monitor { snapshot: None } | CtlCommand::Live(LiveCommand::Preview) => {
            monitor::check_stdout().and_then(|()| steer(cli))?;
        }
        _ => steer(cli)?,
    }
    Ok(Code::Ok.into())
}

/// A connection to the chosen channel.
struct NamedControl {
    channel: Channel,
    client: ControlClient,
}

impl NamedControl {
    /// Sends a request; `action` begins the message of its failure.
    fn call(&mut self, action: &str, call: &Call) -> Result<Value, CliError> {
        self.client.call(call).map_err(|error| connect::failure(&self.channel, action, error))
    }

    fn get<T: serde::de::DeserializeOwned>(&mut self, action: &str, call: &Call) -> Result<T, CliError> {
        self.client.get(call).map_err(|error| connect::failure(&self.channel, action, error))
    }
}

fn steer(cli: Cli) -> Result<(), CliError> {
    let channel = connect::choose(cli.channel.as_deref(), cli.socket.as_deref())?;
    let client = connect::connect(&channel)?;
    let mut control = NamedControl { channel, client };
    match cli.command {
        CtlCommand::Status { watch: true, json } => live::show(&control.channel, control.client, json),
        CtlCommand::Status { watch: false, json } => status(&mut control, json),
        CtlCommand::Upgrade { json } => upgrade::run(&control.channel, &mut control.client, json),
        CtlCommand::Watch { json } => watch(&mut control, json),
        CtlCommand::Monitor { snapshot } => {
            control.call("watch the broadcast", &Call::Monitor(NoParams {}))?;
            match snapshot {
                Some(file) => monitor::snapshot(control.client, &file),
                None => monitor::copy(control.client, "the broadcast"),
            }
        }
        CtlCommand::Queue(command) => queue(&mut control, command),
        CtlCommand::Playlist(command) => playlist(&mut control, &command),
        CtlCommand::Live(LiveCommand::Status { json }) => live_status(&mut control, json),
        CtlCommand::Output(OutputCommand::List { json }) => list_outputs(&mut control, json),
        CtlCommand::Record(command) => record(control, command),
        CtlCommand::Schedule(args) => schedule(&mut control, args),
        CtlCommand::Live(LiveCommand::Preview) => {
            control.call("watch the publisher", &Call::LivePreview(NoParams {}))?;
            monitor::copy(control.client, "the publisher's stream")
        }
        CtlCommand::Asrun(args) => as_run(&mut control, args),
        CtlCommand::Log { lines } => {
            let call = Call::LogTail(LogTailParams { lines });
            let log: LogLines = control.get("read the log", &call)?;
            output::lines(log.lines.iter().map(|line| plain(line))).map(drop)
        }
        command => {
            let Some((action, call)) = plain_call(command) else { return Ok(()) };
            control.call(action, &call).map(drop)
        }
    }
}

/// The commands without a result: the words for a failure, and the request.
fn plain_call(command: CtlCommand) -> Option<(&'static str, Call)> {
    let none = NoParams {};
    Some(match command {
        CtlCommand::Next => ("switch to the next item", Call::Next(none)),
        CtlCommand::Previous => ("return to the item before", Call::Previous(none)),
        CtlCommand::Goto { entry, id } => ("go to the entry", Call::Goto(goto(entry, id))),
        CtlCommand::Seek { time: SeekTime::To(to) } => {
            ("seek", Call::Seek(SeekParams { to: Some(to), by: None }))
        }
        CtlCommand::Seek { time: SeekTime::By(by) } => {
            ("seek", Call::Seek(SeekParams { to: None, by: Some(by) }))
        }
        CtlCommand::Pause => ("pause", Call::Pause(none)),
        CtlCommand::Resume => ("resume", Call::Resume(none)),
        CtlCommand::Live(LiveCommand::Take) => ("put the publisher on air", Call::LiveTake(none)),
        CtlCommand::Live(LiveCommand::Drop) => ("drop the publisher", Call::LiveDrop(none)),
        CtlCommand::Output(OutputCommand::Pause { name }) => {
            ("pause the output", Call::OutputPause(OutputParams { name }))
        }
        CtlCommand::Output(OutputCommand::Resume { name }) => {
            ("resume the output", Call::OutputResume(OutputParams { name }))
        }
        CtlCommand::Title { text } => ("set the title", Call::TitleSet(TitleParams { text })),
        CtlCommand::Stop { after_current } => ("stop", Call::Stop(StopParams { after_current })),
        CtlCommand::Start => ("start", Call::Start(none)),
        CtlCommand::Handover => ("hand over", Call::Handover(none)),
        _ => return None,
    })
}

fn goto(entry: String, is_id: bool) -> GotoParams {
    match entry.parse() {
        Ok(index) if !is_id => GotoParams { index: Some(index), id: None },
        _ => GotoParams { index: None, id: Some(entry) },
    }
}

fn columns() -> Option<usize> {
    output::size().map(|(columns, _)| columns)
}

fn status(control: &mut NamedControl, json: bool) -> Result<(), CliError> {
    let action = "ask for the status";
    let call = Call::Status(NoParams {});
    if json {
        return output::json(&control.call(action, &call)?).map(drop);
    }
    let status: BroadcastStatus = control.get(action, &call)?;
    let view = StatusView {
        channel: &control.channel.name,
        version: &control.client.hello().version,
        now: SystemTime::now(),
        columns: columns(),
        style: output::style(),
    };
    output::lines(view.lines(&status)).map(drop)
}

fn channels(json: bool) -> Result<(), CliError> {
    let ask = |channel: &Channel| -> Result<(Value, String), CliError> {
        let mut client = connect::connect(channel)?;
        let status = client
            .call(&Call::Status(NoParams {}))
            .map_err(|error| connect::failure(channel, "ask for the status", error))?;
        Ok((status, client.hello().version.clone()))
    };
    let mut found: Vec<_> = connect::candidates().into_iter().map(|it| (ask(&it), it)).collect();
    // A broadcast that was killed leaves its socket.
    found.retain(|(answer, _)| !answer.as_ref().is_err_and(|error| error.code() == Code::Unavailable));
    if json {
        let entry = |(answer, channel): &(Result<(Value, String), CliError>, Channel)| {
            let (status, error) = match answer {
                Ok((status, _)) => (Some(status), None),
                Err(error) => (None, Some(error.to_string())),
            };
            let socket = channel.socket.display().to_string();
            json!({ "channel": channel.name, "socket": socket, "status": status, "error": error })
        };
        return output::json(&Value::Array(found.iter().map(entry).collect())).map(drop);
    }
    if found.is_empty() {
        return Err(connect::none_runs());
    }
    let rows: Vec<_> = found
        .iter()
        .map(|(answer, channel)| {
            let parsed = answer.as_ref().map_err(ToString::to_string).and_then(|(status, version)| {
                let status = serde_json::from_value(status.clone()).map_err(|error| error.to_string())?;
                let view = StatusView {
                    channel: &channel.name,
                    version,
                    now: SystemTime::now(),
                    columns: None,
                    style: output::style(),
                };
                Ok::<_, String>(view.line(&status))
            });
            parsed.unwrap_or_else(|why| [plain(&channel.name), "unknown".to_owned(), plain(&why)])
        })
        .collect();
    output::lines(table(&rows, columns())).map(drop)
}

fn watch(control: &mut NamedControl, json: bool) -> Result<(), CliError> {
    let action = "watch the broadcast";
    control.call(action, &Call::Subscribe(SubscribeParams::default()))?;
    loop {
        let notification = control.client.notification();
        let (method, params) =
            notification.map_err(|error| connect::failure(&control.channel, action, error))?;
        if method == "dropped" {
            let reason = params["reason"].as_str().unwrap_or("the broadcast sends no more events");
            return Err(CliError::failure(format!("{action}: {}", plain(reason))));
        }
        let line =
            if json { plain_json(&params.to_string()) } else { events::line(&params, SystemTime::now()) };
        if output::lines([line])? == OutputReader::Gone {
            return Ok(());
        }
    }
}

fn queue(control: &mut NamedControl, command: QueueCommand) -> Result<(), CliError> {
    match command {
        QueueCommand::Add { source, position } => {
            let call = Call::QueueAdd(QueueAddParams { source, position, below: None });
            let queued: Queued = control.get("add to the queue", &call)?;
            output::lines([queued.id.to_string()]).map(drop)
        }
        QueueCommand::List { json } => {
            let result = control.call("list the queue", &Call::QueueList(NoParams {}))?;
            if json {
                return output::json(&result).map(drop);
            }
            let listing: QueueListing = parsed(result)?;
            output::lines(listings::queue(&listing, columns())).map(drop)
        }
        QueueCommand::Move { id, position } => {
            let call = Call::QueueMove(QueueMoveParams { id, position });
            control.call("move the queue entry", &call).map(drop)
        }
        QueueCommand::Remove { id } => {
            control.call("remove the queue entry", &Call::QueueRemove(QueueEntryParams { id })).map(drop)
        }
        QueueCommand::Clear => control.call("clear the queue", &Call::QueueClear(NoParams {})).map(drop),
    }
}

fn playlist(control: &mut NamedControl, command: &PlaylistCommand) -> Result<(), CliError> {
    match *command {
        PlaylistCommand::List { offset, limit, json } => {
            let call = Call::PlaylistList(PlaylistListParams { offset, limit });
            let result = control.call("list the playlist", &call)?;
            if json {
                return output::json(&result).map(drop);
            }
            let page: PlaylistPage = parsed(result)?;
            output::lines(listings::playlist(&page, columns())).map(drop)
        }
        PlaylistCommand::Reload => {
            control.call("reload the playlist", &Call::PlaylistReload(NoParams {})).map(drop)
        }
    }
}

fn live_status(control: &mut NamedControl, json: bool) -> Result<(), CliError> {
    let result = control.call("show the live input", &Call::LiveStatus(NoParams {}))?;
    if json {
        return output::json(&result).map(drop);
    }
    output::lines(live_input::lines(&parsed::<LiveStatus>(result)?)).map(drop)
}

fn list_outputs(control: &mut NamedControl, json: bool) -> Result<(), CliError> {
    let result = control.call("list the outputs", &Call::OutputList(NoParams {}))?;
    if json {
        return output::json(&result).map(drop);
    }
    output::lines(outputs::lines(&parsed::<OutputListing>(result)?, columns())).map(drop)
}

fn record(mut control: NamedControl, command: RecordCommand) -> Result<(), CliError> {
    match command {
        RecordCommand::List { limit, json } => {
            let result =
                control.call("list the recordings", &Call::RecordList(RecordListParams { limit }))?;
            if json {
                return output::json(&result).map(drop);
            }
            output::lines(record::lines(&parsed::<RecordListing>(result)?, columns())).map(drop)
        }
        RecordCommand::Cut { from, to, file } => {
            let target = record::check_target(&file)?;
            let call = Call::RecordCut(RecordCutParams { from, to });
            let cut: RecordCut = control.get("cut the recordings", &call)?;
            record::write(control.client, &cut, &target)?;
            output::lines(record::summary(&cut, &file)).map(drop)
        }
    }
}

fn schedule(control: &mut NamedControl, args: ScheduleArgs) -> Result<(), CliError> {
    let get = Call::ScheduleGet(NoParams {});
    match args.command {
        None => {
            let call = Call::SchedulePlan(SchedulePlanParams { from: args.from, days: args.days });
            let result = control.call("plan the timetable", &call)?;
            if args.json {
                return output::json(&result).map(drop);
            }
            let plan: SchedulePlan = parsed(result)?;
            output::lines(timetable::lines(&plan, output::style())).map(drop)
        }
        Some(ScheduleCommand::Get { json: true }) => {
            output::json(&control.call("read the timetable", &get)?).map(drop)
        }
        Some(ScheduleCommand::Get { json: false }) => {
            let found: ScheduleText = control.get("read the timetable", &get)?;
            output::write(found.text.as_bytes()).map(drop)
        }
        Some(ScheduleCommand::Set { file, etag }) => {
            let text = timetable::read(&file)?;
            let etag = match etag {
                Some(etag) => etag,
                None => control.get::<ScheduleText>("read the timetable", &get)?.etag,
            };
            let call = Call::ScheduleSet(ScheduleSetParams { text, etag });
            control.call("replace the timetable", &call).map(drop)
        }
    }
}

fn as_run(control: &mut NamedControl, args: AsRunArgs) -> Result<(), CliError> {
    let call = Call::AsRunList(AsRunParams { since: args.since, limit: args.limit });
    let result = control.call("read the as-run log", &call)?;
    if args.json {
        return output::json(&result).map(drop);
    }
    let listing: AsRunListing = parsed(result)?;
    if args.csv {
        return as_run::csv(&listing).map(drop);
    }
    output::lines(as_run::lines(&listing, columns())).map(drop)
}

fn parsed<T: serde::de::DeserializeOwned>(result: Value) -> Result<T, CliError> {
    serde_json::from_value(result).map_err(|error| {
        CliError::failure(format!("read the answer, which this version does not understand: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_playlist_is_named_by_index_or_id() {
        for (entry, is_id, index, id) in [
            ("12", false, Some(12), None),
            ("12", true, None, Some("12")),
            ("a1b2", false, None, Some("a1b2")),
            ("99999999999999999999999", false, None, Some("99999999999999999999999")),
        ] {
            let params = goto(entry.into(), is_id);
            assert_eq!((params.index, params.id.as_deref()), (index, id), "{entry}");
        }
    }
}
