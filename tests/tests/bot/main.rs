//! People with a foreign client talk to the real `tgs-bot`, which steers a real broadcast.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as the test does")]

mod files;
mod from_your_phone;
mod harness;

use std::time::Instant;

use serde_json::json;
use tgs_control::{
    BroadcastStatus, ControlClient, OnAir,
    method::{Call, NoParams},
};
use tgs_e2e::{
    broadcast::{Broadcast, Launch},
    clips::clip,
    colours::{self, Beginning},
    ingest::Ingest,
};
use tgs_testdc::{Fault, When, World};

use self::harness::{
    Bot, Hook, MALLORY, People, SECOND,
    Who::{Alice, Bob, Mallory},
    test_dc,
};

/// A broadcast of three clips of three minutes in a directory of its own: none ends by itself.
fn broadcast(dir: &std::path::Path, ingest: &Ingest) -> Broadcast {
    let media = clip("three-minutes", (320, 180), "30", 44_100, 180_000);
    let clips = ["first", "second", "third"].map(|name| dir.join(format!("{name}.mp4")));
    for clip in &clips {
        media.copy_to(clip).unwrap();
    }
    let broadcast = Launch::to(ingest.url("key")).unwrap().play(clips).keeping(dir).start().unwrap();
    broadcast.wait_log(&["control socket: "], 30 * SECOND).unwrap();
    broadcast
}

/// A broadcast of clips of one colour each.
fn coloured(dir: &std::path::Path, ingest: &Ingest, clips: &[(&str, u32)]) -> Broadcast {
    let clips = clips.iter().map(|(colour, millis)| {
        let path = dir.join(format!("{colour}.mp4"));
        if !path.exists() {
            colours::make(colour, *millis, Beginning::Plain, &path).unwrap();
        }
        path
    });
    let broadcast = Launch::to(ingest.url("key")).unwrap().play(clips).keeping(dir).start().unwrap();
    broadcast.wait_log(&["control socket: "], 30 * SECOND).unwrap();
    broadcast
}

fn status(client: &mut ControlClient) -> BroadcastStatus {
    client.get(&Call::Status(NoParams {})).unwrap()
}

fn title(client: &mut ControlClient) -> String {
    match status(client).status.engine.on_air {
        OnAir::Item(item) => item.title,
        other => format!("{other:?}"),
    }
}

#[test]
fn people_look_and_steer_and_get_reports() {
    let (dir, ingest, dc) = (tempfile::tempdir().unwrap(), Ingest::start().unwrap(), test_dc());
    let broadcast = broadcast(dir.path(), &ingest);
    let socket = dir.path().join("state/control.sock");
    let hook = Hook::serve();
    let mut client = ControlClient::connect(&socket, "test").unwrap();
    broadcast.until("the first clip", 30 * SECOND, || (title(&mut client) == "first").then_some(())).unwrap();
    let bot = Bot::start(&dc, dir.path(), &socket, &hook);
    let mut people = People::connect(&dc);

    // A stranger sees the own ID, and can forge what he likes.
    people.send(Mallory, "/start");
    people.expect(Mallory, &format!("Your ID: {MALLORY}"), &bot);
    for text in ["/status", "/next", "hello"] {
        people.send(Mallory, text);
    }
    assert_eq!(people.press(Mallory, "next:main"), json!({ "text": "", "alert": false }));
    assert_eq!(bot.count(&format!("user {MALLORY}, whom neither")), 1);

    // A viewer looks, and has no buttons that steer; a forged one is refused.
    people.send(Bob, "/status");
    let panel = people.expect(Bob, "first", &bot);
    assert_eq!(panel["buttons"], json!(["show:main", "picture:main"]));
    let refused = people.press(Bob, "next:main");
    assert!(refused["alert"] == true && refused["text"].as_str().unwrap().contains("not steer"), "{refused}");
    people.send(Bob, "/next");
    people.expect(Bob, "not steer", &bot);
    assert_eq!(title(&mut client), "first");
    assert_eq!(people.received(Mallory), 1);

    // An administrator steers, in Russian, by one message that is edited in place.
    people.send(Alice, "/status");
    let panel = people.expect(Alice, "first", &bot);
    assert!(panel["buttons"].as_array().unwrap().contains(&json!("next:main")), "{panel}");
    assert_eq!(people.press(Alice, "next:main"), json!({ "text": "✔ готово", "alert": false }));
    let edited = people.expect(Alice, "▶ second", &bot);
    assert_eq!((&edited["id"], people.answers(Alice)), (&panel["id"], 1));
    assert_eq!(title(&mut client), "second");
    assert!(broadcast.log().contains(&format!("{} (tgs-bot)", World::ALICE)), "{}", broadcast.log());
    // Pressed on the way to somewhere else.
    assert!(people.press(Alice, "next:other")["text"].as_str().unwrap().contains("устарела"));

    // A hostile text stays a text: no command, name or link of it can be tapped.
    people.send(Alice, "/title /stop_after @all \u{202e}<b>https://evil.example");
    let panel = people.expect(Alice, "/stop_after @all", &bot);
    assert!(!panel["text"].as_str().unwrap().contains('\u{202e}'), "{panel}");
    assert_eq!(panel["kinds"], json!(["MessageEntityCode"]));
    assert!(panel["marked"].as_array().unwrap().iter().any(|part| part.as_str().unwrap().contains("@all")));

    waits_and_gaps(&dc, &mut people, &bot);
    restart(&dc, &mut people, bot, dir.path(), &socket, broadcast, (&ingest, &hook));
}

/// Telegram asks to wait, loses updates, closes connections, and brings many messages at once.
fn waits_and_gaps(dc: &tgs_testdc::TestDc, people: &mut People, bot: &Bot) {
    let before = people.answers(Alice);
    dc.fault(Fault::named("FLOOD_WAIT_2"), When::method("messages.editMessage").times(1));
    let flooded = dc.count("messages.editMessage");
    people.press(Alice, "pause:main");
    let paused = people.expect(Alice, "⏸ пауза", bot);
    let edits: Vec<_> = dc.requests().into_iter().filter(|it| it.method == "messages.editMessage").collect();
    let waited = edits[flooded + 1].at.duration_since(edits[flooded].at).unwrap();
    assert!(waited >= 2 * SECOND, "{waited:?}");
    assert_eq!(people.answers(Alice), before);

    dc.lose_updates(true);
    people.send(Alice, "/resume");
    dc.lose_updates(false);
    // The next update shows the gap.
    people.send(Bob, "/status");
    people.expect(Bob, "second", bot);
    // The outcome is in it for a moment only.
    let resumed = || (people.expect(Alice, "▶ second", bot)["id"] != paused["id"]).then_some(());
    tgs_e2e::broadcast::until("the answer to /resume", 60 * SECOND, resumed).unwrap();

    dc.hang_up(Some(dc.sessions(World::BOT)[0].key_id));
    people.send(Bob, "/help");
    people.expect(Bob, "/status what is on air", bot);

    people.send_many(Bob, "/status", 200);
    people.send(Bob, "/start");
    people.wait_any(Bob, "Your ID: ", bot);
    let answers = people.received(Bob);
    assert!(answers < 220, "{answers} answers");
}

/// The bot ends and starts without another sign-in; then the broadcast ends, which is reported
/// once.
fn restart(
    dc: &tgs_testdc::TestDc,
    people: &mut People,
    bot: Bot,
    dir: &std::path::Path,
    socket: &std::path::Path,
    mut broadcast: Broadcast,
    (ingest, hook): (&Ingest, &Hook),
) {
    bot.no_secret_is_seen(dc);
    assert!(bot.stop().success());
    assert_eq!(dc.sessions(World::BOT).len(), 1);
    // Sent while the bot is away.
    people.send(Bob, "/help");
    let began = Instant::now();
    let mut bot = Bot::start(dc, dir, socket, hook);
    people.expect(Bob, "/status what is on air", &bot);
    assert!(began.elapsed() < 20 * SECOND);
    // Once at each of both DCs, at the first start: the bot's home is not where a sign-in begins.
    assert_eq!(dc.count("auth.importBotAuthorization"), 2);

    // A session that was ended elsewhere is replaced, and nothing is missed meanwhile.
    let key = dc.sessions(World::BOT)[0].key_id;
    assert!(dc.revoke(key));
    dc.hang_up(Some(key));
    people.send(Bob, "/next");
    people.expect(Bob, "not steer", &bot);
    assert_eq!(dc.count("auth.importBotAuthorization"), 4);

    broadcast.stop().unwrap();
    let reported = people.wait_any(Alice, "🚨 main: трансляция не запущена", &bot);
    people.send(Alice, "/next");
    people.expect(Alice, "✖ отказ: трансляция не запущена", &bot);
    assert!(bot.runs(), "{}", bot.log());
    bot.no_secret_is_seen(dc);
    assert!(bot.stop().success());

    // The incident is not reported again, and its message says that it is over.
    let bot = Bot::start(dc, dir, socket, hook);
    let _broadcast = self::broadcast(dir, ingest);
    let over = people.edited(Alice, &reported["id"], "закончилось через", &bot);
    assert!(over.starts_with("✅ main"), "{over}");
    assert_eq!(people.containing(Alice, " main: трансляция не запущена"), 1);
    // A busy machine has trouble with the filler, the encoder and the ingest, too.
    let heard = std::iter::repeat_with(|| hook.next().join(" ")).filter(|heard| heard.starts_with("away "));
    assert_eq!(heard.take(2).collect::<Vec<_>>(), ["away open", "away over"]);
    assert!(bot.stop().success());
}
