//! Pictures of what is on air, and films that people send: from Telethon to the air and off the
//! disk again, also where Telegram or the bot fails on the way.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use tempfile::TempDir;
use tgs_control::{
    ControlClient, QueueListing,
    method::{Call, GotoParams, NoParams},
};
use tgs_e2e::{
    broadcast::{Broadcast, until},
    colours::{self, Beginning, Picture},
    ingest::Ingest,
};
use tgs_testdc::{Fault, TestDc, When, World};

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

/// The items, with their lengths in milliseconds.
const ITEMS: [(&str, u32); 2] = [("red", 60_000), ("blue", 180_000)];

/// A broadcast of [`ITEMS`], a bot for it, and the people who talk to it.
struct Scene {
    people: People,
    bot: Bot,
    dc: TestDc,
    hook: Hook,
    client: ControlClient,
    _broadcast: Broadcast,
    _ingest: Ingest,
    dir: TempDir,
}

impl Scene {
    /// With this item on air, from its beginning.
    fn start(item: &str) -> Self {
        let (dir, ingest, dc) = (tempfile::tempdir().unwrap(), Ingest::start().unwrap(), test_dc());
        let broadcast = coloured(dir.path(), &ingest, &ITEMS);
        for name in ["media", "films"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let mut client = ControlClient::connect(&dir.path().join("state/control.sock"), "test").unwrap();
        let hook = Hook::serve();
        let bot = start_bot(&dc, dir.path(), &hook);
        let people = People::connect(&dc);
        // The three sign-ins may have taken longer than the first clip.
        let index = ITEMS.iter().position(|(name, _)| *name == item);
        client.call(&Call::Goto(GotoParams { index, id: None })).unwrap();
        on_air(&mut client, item);
        Self { people, bot, dc, hook, client, _broadcast: broadcast, _ingest: ingest, dir }
    }

    /// Where the bot puts films.
    fn media(&self) -> PathBuf {
        self.dir.path().join("media")
    }

    /// The path of a film to send.
    fn film(&self, name: &str) -> PathBuf {
        self.dir.path().join("films").join(name)
    }

    fn end(self) {
        self.bot.no_secret_is_seen(&self.dc);
        assert_eq!(self.bot.count("panicked"), 0);
        assert!(self.bot.stop().success());
    }
}

fn start_bot(dc: &TestDc, dir: &Path, hook: &Hook) -> Bot {
    let media = dir.join("media");
    let settings = [("BOT_MEDIA_DIR", media.to_str().unwrap()), ("BOT_MEDIA_MAX_GB", "0.01")];
    Bot::start_with(dc, dir, &dir.join("state/control.sock"), hook, &settings)
}

/// Waits for this title.
fn on_air(client: &mut ControlClient, name: &str) {
    until(name, 30 * SECOND, || (title(client) == name).then_some(())).unwrap();
}

#[test]
fn pictures_show_what_is_on_air() {
    let mut scene = Scene::start("red");
    let Scene { people, bot, .. } = &mut scene;

    // A picture, edited in place; a viewer gets one as well.
    people.send(Alice, "/now");
    people.expect(Alice, "▶ red", bot);
    let (shown, id, photo) = people.picture(Alice, bot);
    assert_eq!(shown, Picture::Clip("red"));
    assert_eq!(people.press(Alice, "next+:main")["text"], "✔ готово");
    people.picture_becomes(Alice, Picture::Clip("blue"), &id, photo, bot);
    let panel = people.expect(Alice, "▶ blue", bot);
    assert!(panel["buttons"].as_array().unwrap().contains(&json!("next+:main")), "{panel}");
    people.send(Bob, "/status");
    people.expect(Bob, "▶ blue", bot);
    people.press(Bob, "picture:main");
    assert_eq!(people.picture(Bob, bot).0, Picture::Clip("blue"));
    people.send(Bob, "/playlist");
    let page = people.expect(Bob, "1–2 / 2", bot);
    assert!(page["text"].as_str().unwrap().contains("▶ 2. blue"), "{page}");
    scene.end();
}

#[test]
fn films_of_administrators_are_queued() {
    let mut scene = Scene::start("blue");
    let (media, red) = (scene.media(), scene.dir.path().join("red.mp4"));
    let Scene { people, bot, client, .. } = &mut scene;
    people.send_file(Bob, &red);
    people.expect(Bob, "not steer", bot);
    people.send_file(Mallory, &red);
    people.send_file(Alice, &red);
    let queued = people.expect(Alice, "✔ готово", bot);
    assert!(queued["text"].as_str().unwrap().contains("очереди: 1"), "{queued}");
    assert_eq!((names(&media), queue(client)), (vec!["red.mp4".to_owned()], vec!["red".to_owned()]));
    people.forward_last_file(Alice);
    people.expect(Alice, "очереди: 2", bot);
    assert_eq!(names(&media), ["red 2.mp4", "red.mp4"]);
    // Whose contents are the same, though they came in pieces from another DC.
    let sent = fs::read(&red).unwrap();
    assert!(names(&media).iter().all(|name| fs::read(media.join(name)).unwrap() == sent));
    // What has left the queue is removed.
    client.call(&Call::QueueClear(NoParams {})).unwrap();
    until("an empty directory", 150 * SECOND, || names(&media).is_empty().then_some(())).unwrap();
    scene.end();
}

#[test]
fn a_film_that_has_played_is_removed() {
    let mut scene = Scene::start("blue");
    let (media, film) = (scene.media(), scene.film("Кино: ночь.mp4"));
    colours::make("lime", 12_000, Beginning::Plain, &film).unwrap();
    let Scene { people, bot, client, .. } = &mut scene;
    people.send_file(Alice, &film);
    people.expect(Alice, "очереди: 1", bot);
    assert!(names(&media).contains(&"Кино_ ночь.mp4".to_owned()), "{:?}", names(&media));
    people.send(Alice, "/next");
    on_air(client, "Кино_ ночь");
    people.send(Alice, "/now");
    people.expect(Alice, "▶ Кино_ ночь", bot);
    until("an empty directory", 150 * SECOND, || names(&media).is_empty().then_some(())).unwrap();
    scene.end();
}

#[test]
fn what_fails_on_the_way_of_a_film_is_said_and_leaves_nothing() {
    let mut scene = Scene::start("blue");
    troubles(&mut scene);
    let scene = crash(scene);
    scene.end();
}

/// Telegram asks to wait, forgets its references, and is slow; a film is too large, and none is
/// wanted any more.
fn troubles(scene: &mut Scene) {
    let (media, small, large) = (scene.media(), scene.film("small.mp4"), scene.film("large.mkv"));
    let (list, slow) = (scene.film("list.m3u"), scene.film("slow.mkv"));
    let Scene { dc, people, bot, .. } = scene;
    colours::make("cyan", 1_000, Beginning::Plain, &small).unwrap();
    let get_file = || When::method("upload.getFile");
    dc.fault(Fault::named("FLOOD_WAIT_1"), get_file().times(1));
    dc.fault(Fault::named("FILE_REFERENCE_EXPIRED"), get_file().times(1));
    dc.fault(Fault::Drop, get_file().times(1));
    people.send_file(Alice, &small);
    people.expect(Alice, "очереди: 1", bot);
    assert_eq!(dc.count("messages.getMessages"), 1);
    assert_eq!(fs::read(media.join("small.mp4")).unwrap(), fs::read(&small).unwrap());

    fs::write(&large, vec![0; 11_000_000]).unwrap();
    people.send_file(Alice, &large);
    people.wait_any(Alice, "BOT_MEDIA_MAX_GB", bot);
    fs::write(&list, "#EXTM3U\n/etc/passwd\n").unwrap();
    people.send_file(Alice, &list);
    people.expect(Alice, "не видео", bot);

    fs::write(&slow, vec![0; 2_500_000]).unwrap();
    let delay = dc.fault(Fault::Delay(Duration::from_secs(3)), get_file());
    people.send_file(Alice, &slow);
    let progress = people.expect(Alice, "⬇ slow.mkv", bot);
    let cancel = progress["buttons"][0].as_str().unwrap().to_owned();
    people.send(Bob, "/status");
    people.expect(Bob, "▶", bot);
    assert!(people.press(Bob, &cancel)["alert"] == true);
    people.press(Alice, &cancel);
    people.expect(Alice, "отменено: slow.mkv", bot);
    dc.clear_fault(delay);
    let parts = || names(&media).into_iter().filter(|name| name.starts_with('.')).count();
    until("no part", 20 * SECOND, || (parts() == 0).then_some(())).unwrap();
    let refused = |name: &String| ["large.mkv", "list.m3u", "slow.mkv"].contains(&&**name);
    assert!(!names(&media).iter().any(refused), "{:?}", names(&media));
}

/// A crash leaves no part of a file behind, and the next start says that the file is lost.
fn crash(mut scene: Scene) -> Scene {
    let (media, slow) = (scene.media(), scene.film("slow.mkv"));
    let delay = scene.dc.fault(Fault::Delay(Duration::from_secs(2)), When::method("upload.getFile"));
    scene.people.send_file(Alice, &slow);
    scene.people.expect(Alice, "⬇ slow.mkv", &scene.bot);
    let part = || names(&media).into_iter().find(|name| name.starts_with(".part-"));
    until("a part of a file", 20 * SECOND, part).unwrap();
    scene.bot.kill();
    assert!(part().is_some());
    scene.dc.clear_fault(delay);
    scene.bot = start_bot(&scene.dc, scene.dir.path(), &scene.hook);
    scene.people.expect(Alice, "пришлите его снова", &scene.bot);
    assert_eq!(part(), None);
    // It has the session that was there: no user but the bot's own signed in again.
    assert_eq!(scene.dc.sessions(World::BOT).len(), 1);
    scene
}
