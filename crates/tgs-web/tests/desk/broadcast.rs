//! A broadcast as far as its control socket shows it: answers from memory, and remembers what it is
//! asked.

use std::{
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tgs_control::method::PROTOCOL;

/// A broadcast with a control socket. Clones share it.
#[derive(Clone)]
pub(crate) struct Played {
    pub(crate) socket: PathBuf,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    names: Arc<Mutex<Vec<String>>>,
    subscribers: Arc<Mutex<Vec<UnixStream>>>,
    protocol: Arc<AtomicU32>,
    /// Locked while `asrun.list` waits for its answer.
    listing: Arc<Mutex<()>>,
    /// The text of the timetable, and whether it changes before the next `schedule.set`.
    timetable: Arc<Mutex<(String, bool)>>,
}

impl Played {
    /// Listens at `control.sock` in `dir`.
    pub(crate) fn start(dir: &Path) -> Self {
        let socket = dir.join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let played = Self {
            socket,
            asked: Arc::default(),
            names: Arc::default(),
            subscribers: Arc::default(),
            protocol: Arc::new(PROTOCOL.into()),
            listing: Arc::default(),
            timetable: Arc::new(Mutex::new((TIMETABLE.to_owned(), false))),
        };
        let serving = played.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                thread::spawn(move || serving.serve(stream));
            }
        });
        played
    }

    /// Answers no `asrun.list` while the guard lives.
    pub(crate) fn delay_listings(&self) -> MutexGuard<'_, ()> {
        self.listing.lock().unwrap()
    }

    /// States this version of the protocol from now on.
    pub(crate) fn speak(&self, protocol: u32) {
        self.protocol.store(protocol, Ordering::SeqCst);
    }

    /// The text of the timetable.
    pub(crate) fn timetable(&self) -> String {
        self.timetable.lock().unwrap().0.clone()
    }

    /// Somebody else changes the timetable before the next `schedule.set`.
    pub(crate) fn change_timetable_first(&self) {
        self.timetable.lock().unwrap().1 = true;
    }

    /// The answer to `schedule.get`.
    fn shown_timetable(&self) -> Value {
        let text = self.timetable();
        json!({ "path": "/etc/tgs/main.toml", "text": text, "etag": format!("{}", text.len()) })
    }

    /// Replaces the text as tgs-stream does; `None` if it has changed.
    fn set_timetable(&self, params: &Value) -> Option<Value> {
        let mut known = self.timetable.lock().unwrap();
        if known.1 {
            *known = (format!("# theirs\n{}", known.0), false);
        }
        if params["etag"].as_str() != Some(known.0.len().to_string().as_str()) {
            return None;
        }
        params["text"].as_str().unwrap().clone_into(&mut known.0);
        drop(known);
        Some(self.shown_timetable())
    }

    /// The commands that were sent, with their parameters.
    pub(crate) fn commands(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }

    /// The names that clients stated.
    pub(crate) fn names(&self) -> Vec<String> {
        self.names.lock().unwrap().clone()
    }

    /// Tells all subscribers of an event.
    pub(crate) fn event(&self, event: &Value) {
        let line = format!("{}\n", json!({ "jsonrpc": "2.0", "method": "event", "params": event }));
        for stream in &mut *self.subscribers.lock().unwrap() {
            stream.write_all(line.as_bytes()).unwrap();
        }
    }
}

/// The timetable at first.
pub(crate) const TIMETABLE: &str = "# mine
[[slot]]
name = \"News\"
days = \"mon-fri\"
at = \"20:00\"  # sharp
play = \"https://u:secret@example.org/news\"
";

/// What `monitor` sends first.
pub(crate) const FLV: &[u8] = b"FLV\x01\x05\0\0\0\x09\0\0\0\0";

impl Played {
    fn result(&self, method: &str, request: &Value, hello: &Value) -> Value {
        match method {
            "hello" => {
                self.names.lock().unwrap().push(request["params"]["client"].as_str().unwrap().to_owned());
                hello.clone()
            }
            "status" => json!({
                "on_air": { "state": "item", "id": "/a.mp4", "title": "A film", "offset_seconds": 3.0 },
                "publisher": { "state": "connected" },
                "readahead_seconds": 4.0,
                "upcoming": ["B"],
            }),
            "queue.list" => {
                json!({ "entries": [{ "id": 7, "source": "/q.mp4", "title": "q", "on_air": false }] })
            }
            "asrun.list" => json!({ "entries": [
                { "n": 1, "kind": "item", "title": "=1+1", "start": "2026-02-28T10:00:00.000Z", "ended": "played" },
            ] }),
            "queue.add" => json!({ "id": 8 }),
            "schedule.get" => self.shown_timetable(),
            "schedule.plan" => json!({ "timezone": "UTC", "rows": [] }),
            "schedule.set" => self.set_timetable(&request["params"]).unwrap_or_default(),
            _ => json!({}),
        }
    }

    fn serve(&self, mut stream: UnixStream) {
        let protocol = self.protocol.load(Ordering::SeqCst);
        let hello =
            json!({ "server": "tgs-stream", "version": "0.1.0", "protocol": protocol, "channel": "main" });
        let line = json!({ "jsonrpc": "2.0", "method": "hello", "params": hello });
        if stream.write_all(format!("{line}\n").as_bytes()).is_err() {
            return;
        }
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(line)) = lines.next() {
            let request: Value = serde_json::from_str(&line).unwrap();
            let method = request["method"].as_str().unwrap().to_owned();
            let result = self.result(&method, &request, &hello);
            if !["hello", "status", "subscribe"].contains(&&*method) {
                self.asked.lock().unwrap().push((method.clone(), request["params"].clone()));
            }
            if method == "asrun.list" {
                drop(self.listing.lock().unwrap());
            }
            let mut answer = json!({ "jsonrpc": "2.0", "id": request["id"], "result": result });
            if method == "schedule.set" && answer["result"].is_null() {
                answer = json!({ "jsonrpc": "2.0", "id": request["id"],
                    "error": { "code": -32001, "message": "the timetable has changed since it was read" } });
            }
            if method == "previous" {
                answer = json!({ "jsonrpc": "2.0", "id": request["id"],
                    "error": { "code": -32001, "message": "there is no item before this one" } });
            }
            if stream.write_all(format!("{answer}\n").as_bytes()).is_err() {
                return;
            }
            match &*method {
                "subscribe" => self.subscribers.lock().unwrap().push(stream.try_clone().unwrap()),
                "monitor" | "live.preview" => {
                    let _ = stream.write_all(FLV);
                    // Until the desk leaves.
                    while stream.write_all(&[0; 64]).is_ok() {
                        thread::sleep(Duration::from_millis(20));
                    }
                    return;
                }
                _ => {}
            }
        }
    }
}
