//! Lists on a server that change, and a server that fails.

use std::{
    io::Cursor,
    sync::{Arc, Mutex, mpsc},
    thread,
};

use tiny_http::{Header, Response, Server};

use super::{
    tests::{Engine, Tv},
    *,
};

/// A server of one list.
struct ListServer {
    url: String,
    /// The body and `Cache-Control`; `None` for an error.
    answer: Arc<Mutex<Option<(String, String)>>>,
    /// A message for each request.
    requests: mpsc::Receiver<()>,
}

impl ListServer {
    fn start(letters: &str) -> Self {
        let server = Server::http("127.0.0.1:0").unwrap();
        let url = format!("http://{}/list.m3u", server.server_addr().to_ip().unwrap());
        let answer: Arc<Mutex<Option<(String, String)>>> = Arc::default();
        let (tell, requests) = mpsc::channel();
        let shared = Arc::clone(&answer);
        thread::spawn(move || {
            for request in server.incoming_requests() {
                let answer = shared.lock().unwrap().clone();
                let response = match answer {
                    None => Response::from_string("gone").with_status_code(500),
                    Some((body, age)) => {
                        let header = Header::from_bytes("Cache-Control", age).unwrap();
                        Response::new(
                            200.into(),
                            vec![header],
                            Cursor::new(body.clone().into_bytes()),
                            Some(body.len()),
                            None,
                        )
                    }
                };
                // First: a client that has the answer counts the requests.
                let _ = (tell.send(()), request.respond(response));
            }
        });
        let server = Self { url, answer, requests };
        server.write(letters, "");
        server
    }

    fn write(&self, letters: &str, age: &str) {
        let lines: Vec<String> = letters.chars().map(|c| format!("http://h/{c}.mp4")).collect();
        *self.answer.lock().unwrap() = Some((lines.join("\n"), age.to_owned()));
    }

    fn fail(&self) {
        *self.answer.lock().unwrap() = None;
    }

    fn open(&self, before: &str, after: &str, repeat: bool) -> Engine {
        let tv = Tv::new("");
        let lines = |letters: &str| {
            letters.chars().map(|c| format!("http://h/{c}.mp4")).collect::<Vec<_>>().join("\n") + "\n"
        };
        tv.write(&format!("{}{}\n{}", lines(before), self.url, lines(after)));
        let list = Playlist::open(PlaylistConfig { repeat, ..tv.config() }).unwrap();
        Engine::new(list)
    }

    /// The number of requests since the last call.
    fn asked(&self) -> usize {
        self.requests.try_iter().count()
    }
}

fn play(engine: &mut Engine, count: usize) -> String {
    let name = |next: NextItem| match next {
        NextItem::Play(item) => item.title.chars().next().unwrap(),
        NextItem::Kept { .. } | NextItem::Skip { .. } => '-',
        NextItem::End => '.',
    };
    (0..count).map(|_| name(engine.play())).collect()
}

fn wait(engine: &mut Engine, minutes: u64) {
    engine.list.clock.ahead += Duration::from_mins(minutes);
}

#[test]
fn a_list_is_fetched_again_when_it_is_due() {
    let server = ListServer::start("abc");
    let mut engine = server.open("", "", true);
    assert_eq!(play(&mut engine, 5), "abcab");
    assert_eq!(server.asked(), 1, "it is used for ten minutes");
    server.write("axbc", "");
    wait(&mut engine, 11);
    // c is prepared already.
    assert_eq!(play(&mut engine, 7), "caxbcax");
}

#[test]
fn a_list_that_plays_continues_where_it_was() {
    let server = ListServer::start("abcdef");
    let mut engine = server.open("1", "2", false);
    assert_eq!(play(&mut engine, 3), "1ab");
    server.write("abxcdyz", "");
    wait(&mut engine, 11);
    assert_eq!(play(&mut engine, 1), "c");
    engine.list.remote_lists.settle();
    assert_eq!(server.asked(), 2);
    assert_eq!(play(&mut engine, 5), "dyz2.");
}

#[test]
fn the_age_is_the_servers_within_limits() {
    let server = ListServer::start("a");
    server.write("a", "public, max-age=3600");
    let mut engine = server.open("", "", true);
    play(&mut engine, 2);
    wait(&mut engine, 59);
    play(&mut engine, 2);
    assert_eq!(server.asked(), 1);
    wait(&mut engine, 2);
    server.write("b", "no-store");
    assert_eq!(play(&mut engine, 1), "a");
    assert!(play(&mut engine, 3).ends_with('b'));
    engine.list.remote_lists.settle();
    assert!(server.asked() > 0);
    // A minute at least.
    play(&mut engine, 3);
    assert_eq!(server.asked(), 0);
}

#[test]
fn what_was_there_stays_while_the_server_fails() {
    let server = ListServer::start("ab");
    let mut engine = server.open("1", "", true);
    assert_eq!(play(&mut engine, 3), "1ab");
    server.fail();
    for _ in 0..3 {
        wait(&mut engine, 11);
        let round = play(&mut engine, 3);
        assert_eq!(round, "1ab");
    }
    assert!(server.asked() > 0);
    server.write("c", "");
    wait(&mut engine, 11);
    let rounds = play(&mut engine, 8);
    assert!(rounds.ends_with("1c1c") || rounds.ends_with("c1c1"), "{rounds}");
    // Without anything from before it is a failure.
    let server = ListServer::start("");
    server.fail();
    assert_eq!(play(&mut server.open("1", "", true), 4), "1-1-");
}

#[test]
fn the_weight_of_a_list_is_not_that_of_its_entries_too() {
    let server = ListServer::start("ab");
    let tv = Tv::new("");
    tv.write(&format!("#TGS:weight=3\n{}\nhttp://h/c.mp4\n", server.url));
    let list = Playlist::open(PlaylistConfig { shuffle: true, repeat: false, ..tv.config() }).unwrap();
    let mut round: Vec<char> = play(&mut Engine::new(list), 8).chars().collect();
    round.sort_unstable();
    assert_eq!(round.into_iter().collect::<String>(), ".aaabbbc");
}
