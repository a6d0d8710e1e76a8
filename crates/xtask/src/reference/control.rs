//! `docs/reference/control.md`: the protocol of the control socket, from the source of tgs-control.
//!
//! Names, types and meanings are those of the types that server and client use; the texts are their
//! comments. An end-to-end test runs each example.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use syn::{Attribute, Expr, Fields, GenericArgument, Item, Lit, Meta, PathArguments, Type};
use tgs_control::{
    method::PROTOCOL,
    rpc::{ErrorCode, LONGEST_MESSAGE},
};
use tgs_e2e::bin_path::workspace;
use tgs_schedule::edit::etag;

const INTRODUCTION: &str = "\
# The control socket

Written by `cargo xtask docs` from the types of `tgs-control`. What steers a broadcast speaks this protocol: `tgs-ctl`,
`tgs-web`, and a script of your own. [The decision](../design/decisions/0020-control-socket.md) gives the reasons.

## Contents

- [Connect](#connect)
- [Messages](#messages)
- [Errors](#errors)
- [Limits](#limits)
- [Methods](#methods)
- [Notifications](#notifications)
- [Types](#types)

## Connect

The socket is a Unix stream socket: `/run/tg_video_streamer/control.sock` for the unit `tg_video_streamer`,
`/run/tg_video_streamer@NAME/control.sock` for an instance, `control.sock` in `STATE_DIR` for a broadcast started by hand.
`CONTROL_SOCKET` overrides the path. Root and the members of the group `tgstream` may connect:

```console
$ sudo usermod -aG tgstream \"$USER\"
```

The server logs each command with the user that the kernel names (`group member`, if the unit's `PrivateUsers=` hides the
user), and with the name that the client states (`hello`).

## Messages

JSON-RPC 2.0, one message a line, UTF-8, each line ended by a newline. The server speaks first. In the examples `-->` is what
the client sends and `<--` what the server sends:

```json
<-- {\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"server\":\"tgs-stream\",\"version\":\"0.1.0\",\"protocol\":{PROTOCOL},\"channel\":\"main\"}}
--> {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"next\"}
<-- {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}
```

- `id` is a string or a number, and comes back with the answer. A request without `id` gets no answer.
- `params` is an object. The server refuses parameters that it does not know; a client ignores fields that it does not know.
- `protocol` grows when something is added. Nothing is ever removed or changed.
- Batches are not supported.
- Times are RFC 3339 in UTC, lengths are in seconds, credentials in URLs are masked.

";

/// An example of a method: parameters and result.
fn example(method: &str) -> (Value, Value) {
    let item = json!({ "state": "item", "id": "/srv/media/b.mp4", "title": "b", "offset_seconds": 3.4,
                       "duration_seconds": 20.0 });
    let nothing = json!({});
    match method {
        "hello" => (
            json!({ "client": "my-script" }),
            json!({ "server": "tgs-stream", "version": "0.1.0", "protocol": PROTOCOL, "channel": "main" }),
        ),
        "status" => (
            nothing,
            json!({ "on_air": item, "publisher": { "state": "connected" }, "upcoming": ["c"], "paused": false,
                    "stopped": false, "queue_length": 0, "pid": 4711 }),
        ),
        "goto" => (json!({ "index": 1 }), nothing),
        "seek" => (json!({ "by": 2.5 }), nothing),
        "queue.add" => (json!({ "source": "c.mp4", "position": 0 }), json!({ "id": 1 })),
        "queue.list" => {
            (nothing, json!({ "entries": [{ "id": 1, "source": "c.mp4", "title": "c", "on_air": false }] }))
        }
        "queue.move" => (json!({ "id": 1, "position": 0 }), nothing),
        "queue.remove" => (json!({ "id": 1 }), nothing),
        "playlist.list" => (
            json!({ "offset": 0, "limit": 2 }),
            json!({ "total": 3, "entries": [{ "index": 0, "id": "1f0c6a2b9d3e4785", "title": "a",
                    "source": "/srv/media/a.mp4", "state": "passed" }] }),
        ),
        "title.set" => (json!({ "text": "Night films" }), nothing),
        "upgrade" => (nothing, json!({ "pid": 4711, "version": "0.2.0", "gap_seconds": 0.21 })),
        "subscribe" => (json!({ "events": ["item", "state"] }), json!({ "events": ["item", "state"] })),
        "asrun.list" => (
            json!({ "limit": 1 }),
            json!({ "entries": [{ "n": 1, "kind": "item", "title": "a", "start": "2026-11-28T18:00:00.000Z" }] }),
        ),
        "schedule.get" => (nothing, timetable()),
        "schedule.set" => (json!({ "text": TIMETABLE, "etag": etag(TIMETABLE) }), timetable()),
        "schedule.plan" => (
            json!({ "from": "2026-03-02", "days": 1 }),
            json!({ "timezone": "UTC", "rows": [{ "start": "2026-03-02T00:00:00.000Z",
                    "local": "2026-03-02T00:00:00Z", "length_seconds": 72000.0, "kind": "list" }], "warnings": [] }),
        ),
        "output.list" => (nothing, outputs()),
        "output.pause" | "output.resume" => (json!({ "name": "youtube" }), nothing),
        "record.list" => (json!({ "limit": 1 }), recordings()),
        "record.cut" => (json!({ "from": "13:58", "to": "14:30" }), cut()),
        "log.tail" => {
            (json!({ "lines": 1 }), json!({ "lines": ["2026-11-28T18:00:00.000Z INFO  on air: a"] }))
        }
        "live.status" => (
            nothing,
            json!({ "url": "rtmps://0.0.0.0:1936/live", "state": "flowing", "on_air": true, "waits_for_take": false,
                    "publisher": { "key": "anna", "address": "192.0.2.7",
                                   "format": "H.264 1280x720, AAC 48000 Hz stereo" } }),
        ),
        "preview" => {
            (json!({ "source": "c.mp4", "at": 0.5 }), json!({ "title": "c", "png": "iVBORw0KGgo…" }))
        }
        "live.preview" | "monitor" => (nothing, json!({ "format": "flv" })),
        _ => (nothing.clone(), nothing),
    }
}

fn outputs() -> Value {
    json!({ "outputs": [{ "name": "youtube", "url": "rtmps://a.rtmps.youtube.com:443/live2/***", "paused": false,
            "publisher": { "state": "connected" }, "sent_bytes": 241_000_000, "reconnects": 0,
            "dropped_seconds": 0.0, "queue_seconds": 0.1 }] })
}

fn recordings() -> Value {
    json!({ "dir": "/srv/recordings", "count": 720, "bytes": 651_000_000_000_u64, "files": [{
            "name": "2026-03-29T14-00-00+0200.mkv", "from": "2026-03-29T12:00:00.000Z",
            "to": "2026-03-29T13:00:00.120Z", "bytes": 905_400_000, "finished": true }] })
}

fn cut() -> Value {
    json!({ "format": "matroska", "from": { "utc": "2026-03-29T11:57:58.120Z", "local": "2026-03-29 13:57:58 +02:00" },
            "to": { "utc": "2026-03-29T12:30:02.080Z", "local": "2026-03-29 14:30:02 +02:00" },
            "seconds": 1923.96, "bytes": 483_000_000, "missing": [] })
}

/// The text of a timetable.
const TIMETABLE: &str =
    "timezone = \"UTC\"\n[[slot]]\nname = \"News\"\nat = \"20:00\"\nplay = \"news/\"\nfor = \"30m\"\n";

fn timetable() -> Value {
    json!({ "path": "/srv/tv/timetable.toml", "text": TIMETABLE, "etag": etag(TIMETABLE) })
}

/// A documented type of `tgs-control`.
struct Documented {
    text: String,
    fields: Vec<Field>,
    variants: Vec<Variant>,
}

struct Field {
    name: String,
    text: String,
    shown: String,
    required: bool,
}

struct Variant {
    name: String,
    text: String,
    /// The type of its parameters, in [`Call`].
    of: Option<String>,
    fields: Vec<Field>,
}

/// The page.
pub(super) fn page() -> Result<String> {
    let types = types()?;
    let mut page = INTRODUCTION.replace("{PROTOCOL}", &PROTOCOL.to_string());
    page += "## Errors\n\n| code | meaning |\n|---|---|\n";
    for code in ErrorCode::ALL {
        writeln!(page, "| {} | {} |", code.number(), code.meaning())?;
    }
    page += "\n`message` says what is wrong and what would be right.\n\n## Limits\n\n";
    writeln!(
        page,
        "- A message has at most {LONGEST_MESSAGE} bytes, and is complete within 10 s of its first byte."
    )?;
    page += LIMITS;
    let mut named = Vec::new();
    methods(&mut page, &types, &mut named)?;
    page += "## Notifications\n\nA subscribed connection carries `event`; its parameters are one of:\n\n";
    for events in ["BroadcastEvent", "StateChange"].iter().filter_map(|name| types.get(*name)) {
        list(&mut page, &events.variants, &mut named)?;
    }
    page += "\n```json\n<-- {\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":{\"event\":\"resumed\"}}\n```\n\n\
             A client ignores events that it does not know.\n\n## Types\n";
    // The list grows by the types that a type names.
    let mut done = 0;
    while done < named.len() {
        let name: String = named[done].clone();
        done += 1;
        let Some(described) = types.get(&name) else { continue };
        writeln!(page, "\n### {name}\n\n{}\n", described.text)?;
        table(&mut page, &described.fields, &mut named)?;
        list(&mut page, &described.variants, &mut named)?;
    }
    while page.contains("\n\n\n") {
        page = page.replace("\n\n\n", "\n\n");
    }
    Ok(format!("{}\n", page.trim_end()))
}

const LIMITS: &str = "\
- 64 connections may be open; a further one replaces the one that is idle for longest.
- 32 connections may be subscribed, and 8 may be monitors. 3 may read recordings at once.
- A client that does not read for 5 s is disconnected. A subscriber with 256 waiting notifications gets `dropped`, and its
  connection is closed. A monitor that falls behind continues at the next keyframe.

## Methods

";

/// A section for each method.
fn methods(page: &mut String, types: &BTreeMap<String, Documented>, named: &mut Vec<String>) -> Result<()> {
    for variant in &types.get("Call").context("find the enum Call")?.variants {
        let (text, result) = variant.text.split_once("Result:").unwrap_or((&variant.text, ""));
        writeln!(page, "### {}\n\n{}\n", variant.name, text.trim())?;
        if let Some(params) = variant.of.as_ref().and_then(|name| types.get(name)) {
            table(page, &params.fields, named)?;
        }
        let result = result.trim().trim_end_matches('.');
        if !result.is_empty() {
            let (shown, rest) = linked(result, types, named);
            writeln!(page, "Result: {shown}{rest}.\n")?;
        }
        let (params, answer) = example(&variant.name);
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": variant.name, "params": params });
        let answer = json!({ "jsonrpc": "2.0", "id": 1, "result": answer });
        writeln!(page, "```json\n--> {request}\n<-- {answer}\n```\n")?;
    }
    Ok(())
}

/// A list of the known variants, with their fields. Types in it are added to `named`.
fn list(page: &mut String, variants: &[Variant], named: &mut Vec<String>) -> Result<()> {
    for variant in variants.iter().filter(|variant| variant.name != "unknown") {
        note(&variant.fields, named);
        let fields: Vec<_> = variant.fields.iter().map(|field| format!("`{}`", field.name)).collect();
        let with = if fields.is_empty() { String::new() } else { format!(" With {}.", fields.join(", ")) };
        writeln!(page, "- `{}`: {}{with}", variant.name, variant.text)?;
    }
    Ok(())
}

/// A table of fields. Types in it are added to `named`.
fn table(page: &mut String, fields: &[Field], named: &mut Vec<String>) -> Result<()> {
    if fields.is_empty() {
        return Ok(());
    }
    note(fields, named);
    page.push_str("| name | type | meaning |\n|---|---|---|\n");
    for field in fields {
        let optional = if field.required { "" } else { ", optional" };
        let shown = &field.shown;
        writeln!(page, "| `{}` | {shown}{optional} | {} |", field.name, field.text.replace('|', "\\|"))?;
    }
    page.push('\n');
    Ok(())
}

/// Adds the types that these fields link to.
fn note(fields: &[Field], named: &mut Vec<String>) {
    for field in fields {
        if let Some((_, rest)) = field.shown.split_once('[')
            && let Some((name, _)) = rest.split_once(']')
            && !named.iter().any(|known| known == name)
        {
            named.push(name.to_owned());
        }
    }
}

/// The text of a result: a link for `` [`Type`] ``, and what follows it.
fn linked(result: &str, types: &BTreeMap<String, Documented>, named: &mut Vec<String>) -> (String, String) {
    let Some((name, rest)) = result.strip_prefix("[`").and_then(|rest| rest.split_once("`]")) else {
        return (result.to_owned(), String::new());
    };
    let name = name.rsplit("::").next().unwrap_or(name);
    if types.contains_key(name) && !named.iter().any(|known| known == name) {
        named.push(name.to_owned());
    }
    (format!("[{name}](#{})", name.to_lowercase()), rest.to_owned())
}

/// All public types of `tgs-control`, by name.
fn types() -> Result<BTreeMap<String, Documented>> {
    let dir = workspace().join("crates/tgs-control/src");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let file = syn::parse_file(&fs::read_to_string(&path)?)
                .with_context(|| format!("parse {}", path.display()))?;
            found.extend(file.items.iter().filter_map(documented));
        }
    }
    let names: Vec<String> = found.keys().cloned().collect();
    for described in found.values_mut() {
        let all = described.variants.iter_mut().flat_map(|variant| &mut variant.fields);
        for field in described.fields.iter_mut().chain(all) {
            field.shown = linked_type(&field.shown, &names);
        }
    }
    Ok(found)
}

fn linked_type(shown: &str, names: &[String]) -> String {
    let (before, name) = shown.rsplit_once(' ').map_or(("", shown), |(before, name)| (before, name));
    if names.iter().any(|known| known == name) {
        let link = format!("[{name}](#{})", name.to_lowercase());
        return if before.is_empty() { link } else { format!("{before} {link}") };
    }
    shown.to_owned()
}

fn documented(item: &Item) -> Option<(String, Documented)> {
    match item {
        Item::Struct(item) => {
            let all_default = has_serde(&item.attrs, "default");
            let fields = fields(&item.fields, all_default);
            let described = Documented { text: text(&item.attrs), fields, variants: Vec::new() };
            Some((item.ident.to_string(), described))
        }
        Item::Enum(item) => {
            let variants = item.variants.iter().map(|variant| Variant {
                name: renamed(&variant.attrs).unwrap_or_else(|| snake_case(&variant.ident.to_string())),
                text: text(&variant.attrs),
                of: match &variant.fields {
                    Fields::Unnamed(unnamed) => unnamed.unnamed.first().map(|field| shown(&field.ty).0),
                    _ => None,
                },
                fields: fields(&variant.fields, false),
            });
            let described =
                Documented { text: text(&item.attrs), fields: Vec::new(), variants: variants.collect() };
            Some((item.ident.to_string(), described))
        }
        _ => None,
    }
}

fn fields(fields: &Fields, all_default: bool) -> Vec<Field> {
    let Fields::Named(named) = fields else { return Vec::new() };
    let named = named.named.iter().filter_map(|field| {
        let (shown, optional) = shown(&field.ty);
        Some(Field {
            name: field.ident.as_ref()?.to_string(),
            text: text(&field.attrs),
            shown,
            required: !optional && !all_default && !has_serde(&field.attrs, "default"),
        })
    });
    named.collect()
}

/// A type in the words of JSON, and whether it is optional.
fn shown(of: &Type) -> (String, bool) {
    let Type::Path(path) = of else { return ("value".to_owned(), false) };
    let Some(last) = path.path.segments.last() else { return ("value".to_owned(), false) };
    let inner = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => arguments.args.first(),
        _ => None,
    };
    let inner = inner.and_then(|argument| match argument {
        GenericArgument::Type(of) => Some(shown(of).0),
        _ => None,
    });
    let name = last.ident.to_string();
    match (name.as_str(), inner) {
        ("Option", Some(inner)) => (inner, true),
        ("Vec", Some(inner)) => (format!("list of {inner}"), false),
        ("String" | "PathBuf", _) => ("string".to_owned(), false),
        ("bool", _) => ("boolean".to_owned(), false),
        ("f64", _) => ("number".to_owned(), false),
        ("usize" | "u64" | "u32" | "i64", _) => ("integer".to_owned(), false),
        ("Timestamp", _) => ("time".to_owned(), false),
        _ => (name, false),
    }
}

/// The comment of an item, as one paragraph; links to other items become code.
fn text(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        let Expr::Lit(literal) = &pair.value else { return None };
        match &literal.lit {
            Lit::Str(text) if pair.path.is_ident("doc") => Some(text.value().trim().to_owned()),
            _ => None,
        }
    });
    let joined = lines.collect::<Vec<_>>().join(" ");
    // Kept for results, which become links.
    if joined.contains("Result:") { joined } else { joined.replace("[`", "`").replace("`]", "`") }
}

fn serde_text(attributes: &[Attribute]) -> String {
    let of_serde = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    let lists = of_serde.filter_map(|attribute| attribute.meta.require_list().ok());
    lists.map(|list| list.tokens.to_string()).collect::<Vec<_>>().join(", ")
}

fn has_serde(attributes: &[Attribute], word: &str) -> bool {
    serde_text(attributes).split(',').any(|part| part.trim() == word)
}

fn renamed(attributes: &[Attribute]) -> Option<String> {
    let text = serde_text(attributes);
    let renamed = text.split(',').find_map(|part| part.trim().strip_prefix("rename = \""));
    renamed.map(|name| name.trim_end_matches('"').to_owned())
}

fn snake_case(name: &str) -> String {
    let mut out = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            out.push('_');
        }
        out.extend(letter.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use tgs_control::method::Call;

    use super::*;

    #[test]
    fn each_method_has_an_example_that_the_server_parses() {
        for method in Call::METHODS {
            let (params, _) = example(method);
            let line = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
            let request = tgs_control::rpc::parse_request(line.as_bytes()).unwrap();
            Call::parse(request).unwrap();
        }
    }

    #[test]
    fn the_page_names_every_method() {
        let page = page().unwrap();
        for method in Call::METHODS {
            assert!(page.contains(&format!("### {method}\n")), "{method}");
        }
    }
}
