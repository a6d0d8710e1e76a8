//! Pictures of what is on air, and films that people send: from Telethon to the air and off the
//! disk again, also where Telegram or the bot fails on the way.

use std::{fs, path::Path, time::Duration};

use serde_json::json;
use tgs_control::{
    ControlClient, QueueListing,
    method::{Call, GotoParams, NoParams},
};
use tgs_e2e::{
    broadcast::until,
    colours::{self, Beginning, Picture},
    ingest::Ingest,
};
use tgs_testdc::{Fault, When, World};

use crate::{
    coloured,
    harness::{
        Bot, Hook, People, SECOND,
        Who::{Alice, Bob, Mallory},
        test_dc,
    },
    title,
};

/// The whole files of a directory; with the parts of others if there are any.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn queue(client: &mut ControlClient) -> Vec<String> {
    let queue: QueueListing = client.get(&Call::QueueList(NoParams {})).unwrap();
    queue.entries.into_iter().map(|entry| entry.title).collect()
}

#[test]
fn pictures_show_what_is_on_air_and_films_are_queued() {
    let (dir, ingest, dc) = (tempfile::tempdir().unwrap(), Ingest::start().unwrap(), test_dc());
    let _broadcast = coloured(dir.path(), &ingest, &[("red", 60_000), ("blue", 300_000)]);
    let socket = dir.path().join("state/control.sock");
    let (media, films, hook) = (dir.path().join("media"), dir.path().join("films"), Hook::serve());
    fs::create_dir(&media).unwrap();
    fs::create_dir(&films).unwrap();
    let settings = [("BOT_MEDIA_DIR", media.to_str().unwrap()), ("BOT_MEDIA_MAX_GB", "0.01")];
    let mut client = ControlClient::connect(&socket, "test").unwrap();
    let first_clip = |client: &mut ControlClient| {
        until("the first clip", 30 * SECOND, || (title(client) == "red").then_some(())).unwrap();
    };
    first_clip(&mut client);
    let bot = Bot::start_with(&dc, dir.path(), &socket, &hook, &settings);
    let mut people = People::connect(&dc);
    // The three sign-ins may have taken longer than the first clip.
    client.call(&Call::Goto(GotoParams { index: Some(0), id: None })).unwrap();
    first_clip(&mut client);

    // A picture, edited in place; a viewer gets one as well.
    people.send(Alice, "/now");
    people.expect(Alice, "▶ red", &bot);
    let (shown, id, photo) = people.picture(Alice, &bot);
    assert_eq!(shown, Picture::Clip("red"));
    assert_eq!(people.press(Alice, "next+:main")["text"], "✔ готово");
    people.picture_becomes(Alice, Picture::Clip("blue"), &id, photo, &bot);
    let panel = people.expect(Alice, "▶ blue", &bot);
    assert!(panel["buttons"].as_array().unwrap().contains(&json!("next+:main")), "{panel}");
    people.send(Bob, "/status");
    people.expect(Bob, "▶ blue", &bot);
    people.press(Bob, "picture:main");
    assert_eq!(people.picture(Bob, &bot).0, Picture::Clip("blue"));
    people.send(Bob, "/playlist");
    let page = people.expect(Bob, "1–2 / 2", &bot);
    assert!(page["text"].as_str().unwrap().contains("▶ 2. blue"), "{page}");

    // Only administrators send films.
    let film = films.join("Кино: ночь.mp4");
    colours::make("lime", 20_000, Beginning::Plain, &film).unwrap();
    people.send_file(Bob, &film);
    people.expect(Bob, "not steer", &bot);
    people.send_file(Mallory, &film);
    people.send_file(Alice, &films.join("../red.mp4"));
    let queued = people.expect(Alice, "✔ готово", &bot);
    assert!(queued["text"].as_str().unwrap().contains("очереди: 1"), "{queued}");
    assert_eq!((names(&media), queue(&mut client)), (vec!["red.mp4".to_owned()], vec!["red".to_owned()]));
    people.forward_last_file(Alice);
    people.expect(Alice, "очереди: 2", &bot);
    assert_eq!(names(&media), ["red 2.mp4", "red.mp4"]);
    // Whose contents are the same, though they came in pieces from another DC.
    let sent = fs::read(dir.path().join("red.mp4")).unwrap();
    assert!(names(&media).iter().all(|name| fs::read(media.join(name)).unwrap() == sent));
    client.call(&Call::QueueClear(NoParams {})).unwrap();

    troubles(&dc, &mut people, &bot, &media, &films);
    let bot = crash(&dc, &mut people, bot, dir.path(), (&socket, &hook, &settings, &media, &films));

    // A film that has played is removed, and so is one that has left the queue.
    people.send_file(Alice, &film);
    people.expect(Alice, "✔ готово", &bot);
    assert!(names(&media).contains(&"Кино_ ночь.mp4".to_owned()), "{:?}", names(&media));
    people.send(Alice, "/next");
    until("the film", 30 * SECOND, || (title(&mut client) == "Кино_ ночь").then_some(())).unwrap();
    people.send(Alice, "/now");
    people.expect(Alice, "▶ Кино_ ночь", &bot);
    until("an empty directory", 150 * SECOND, || names(&media).is_empty().then_some(())).unwrap();
    bot.no_secret_is_seen(&dc);
    assert_eq!(bot.count("panicked"), 0);
    assert!(bot.stop().success());
}

/// Telegram asks to wait, forgets its references, and is slow; a film is too large, and none is
/// wanted any more.
fn troubles(dc: &tgs_testdc::TestDc, people: &mut People, bot: &Bot, media: &Path, films: &Path) {
    let small = films.join("small.mp4");
    colours::make("cyan", 1_000, Beginning::Plain, &small).unwrap();
    let get_file = || When::method("upload.getFile");
    dc.fault(Fault::named("FLOOD_WAIT_1"), get_file().times(1));
    dc.fault(Fault::named("FILE_REFERENCE_EXPIRED"), get_file().times(1));
    dc.fault(Fault::Drop, get_file().times(1));
    people.send_file(Alice, &small);
    people.expect(Alice, "очереди: 1", bot);
    assert_eq!(dc.count("messages.getMessages"), 1);
    assert_eq!(fs::read(media.join("small.mp4")).unwrap(), fs::read(&small).unwrap());

    let large = films.join("large.mkv");
    fs::write(&large, vec![0; 11_000_000]).unwrap();
    people.send_file(Alice, &large);
    people.wait_any(Alice, "BOT_MEDIA_MAX_GB", bot);
    let list = films.join("list.m3u");
    fs::write(&list, "#EXTM3U\n/etc/passwd\n").unwrap();
    people.send_file(Alice, &list);
    people.expect(Alice, "не видео", bot);

    let slow = films.join("slow.mkv");
    fs::write(&slow, vec![0; 2_500_000]).unwrap();
    let delay = dc.fault(Fault::Delay(Duration::from_secs(3)), get_file());
    people.send_file(Alice, &slow);
    let progress = people.expect(Alice, "⬇ slow.mkv", bot);
    let cancel = progress["buttons"][0].as_str().unwrap().to_owned();
    assert!(people.press(Bob, &cancel)["alert"] == true);
    people.press(Alice, &cancel);
    people.expect(Alice, "отменено: slow.mkv", bot);
    dc.clear_fault(delay);
    let parts = || names(media).into_iter().filter(|name| name.starts_with('.')).count();
    until("no part", 20 * SECOND, || (parts() == 0).then_some(())).unwrap();
    let refused = |name: &String| ["large.mkv", "list.m3u", "slow.mkv"].contains(&&**name);
    assert!(!names(media).iter().any(refused), "{:?}", names(media));
}

/// The places that a restart needs.
type Places<'a> = (&'a Path, &'a Hook, &'a [(&'a str, &'a str)], &'a Path, &'a Path);

/// A crash leaves no part of a file behind, and the next start says that the file is lost.
fn crash(
    dc: &tgs_testdc::TestDc,
    people: &mut People,
    bot: Bot,
    dir: &Path,
    (socket, hook, settings, media, films): Places<'_>,
) -> Bot {
    let delay = dc.fault(Fault::Delay(Duration::from_secs(2)), When::method("upload.getFile"));
    people.send_file(Alice, &films.join("slow.mkv"));
    people.expect(Alice, "⬇ slow.mkv", &bot);
    let part = || names(media).into_iter().find(|name| name.starts_with(".part-"));
    until("a part of a file", 20 * SECOND, part).unwrap();
    bot.kill();
    assert!(part().is_some());
    dc.clear_fault(delay);
    let bot = Bot::start_with(dc, dir, socket, hook, settings);
    people.expect(Alice, "пришлите его снова", &bot);
    assert_eq!(part(), None);
    // It has the session that was there: no user but the bot's own signed in again.
    assert_eq!(dc.sessions(World::BOT).len(), 1);
    bot
}
