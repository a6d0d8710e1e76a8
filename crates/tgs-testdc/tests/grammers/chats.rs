//! Dialogs, names, calls and the RTMP URL.

use grammers_session::Session;
use grammers_tl_types::{enums, functions, types};
use tgs_testdc::{CallKind, ChatKind, Fault, SessionInfo, TestDc, When, World};

use crate::client::{Pool, example, many_chats, name_of, pool, runtime};

fn channel(dc: &TestDc, viewer: i64, id: i64) -> enums::InputPeer {
    types::InputPeerChannel { channel_id: id, access_hash: dc.access_hash(viewer, id) }.into()
}

fn create(peer: enums::InputPeer, title: Option<&str>) -> functions::phone::CreateGroupCall {
    functions::phone::CreateGroupCall {
        rtmp_stream: true,
        peer,
        random_id: 1,
        title: title.map(str::to_owned),
        schedule_date: None,
    }
}

fn url(peer: enums::InputPeer, revoke: bool) -> functions::phone::GetGroupCallStreamRtmpUrl {
    functions::phone::GetGroupCallStreamRtmpUrl { live_story: false, peer, revoke }
}

/// The live call of a channel, as `getFullChannel` tells.
async fn live_call(pool: &Pool, peer: &enums::InputPeer) -> Option<enums::InputGroupCall> {
    let enums::InputPeer::Channel(peer) = peer else { panic!("no channel") };
    let input = types::InputChannel { channel_id: peer.channel_id, access_hash: peer.access_hash };
    let request = functions::channels::GetFullChannel { channel: input.into() };
    let enums::messages::ChatFull::Full(full) = pool.call(&request).await.expect("the channel");
    let enums::ChatFull::ChannelFull(full) = full.full_chat else { panic!("no channel") };
    full.call
}

#[test]
fn dialogs_end_and_fill_the_cache() {
    let (dc, session) = example();
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        let mut dialogs = pool.client.iter_dialogs();
        let mut ids = Vec::new();
        while let Some(dialog) = dialogs.next().await.unwrap() {
            ids.push(dialog.peer().id().bot_api_dialog_id());
        }
        assert_eq!(ids, [Some(-1_002_000_000_001), Some(-1_002_000_000_002), Some(-4_000_001)]);
        let id = grammers_session::types::PeerId::channel(World::CHANNEL).unwrap();
        assert!(pool.session.peer_ref(id).await.unwrap().is_some());
    });
}

#[test]
fn dialogs_come_in_pages() {
    let (dc, session) = many_chats();
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        let mut dialogs = pool.client.iter_dialogs();
        let mut seen = std::collections::HashSet::new();
        while let Some(dialog) = dialogs.next().await.unwrap() {
            assert!(seen.insert(dialog.peer().id()), "{} came twice", dialog.peer().id());
        }
        assert_eq!(seen.len(), 253);
    });
    assert_eq!(dc.count("messages.getDialogs"), 3);
}

/// Why `tgs-telegram` pages through the dialogs itself. If this fails, the library has improved.
#[test]
fn the_librarys_dialogs_end_at_a_short_page_and_panic_without_an_access_hash() {
    let (dc, session) = many_chats();
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        let count = |mut dialogs: grammers_client::client::DialogIter| async move {
            let mut count = 0;
            while dialogs.next().await.unwrap().is_some() {
                count += 1;
            }
            count
        };
        dc.fault(Fault::ShortPage, When::method("messages.getDialogs").times(1));
        assert_eq!(tokio::spawn(count(pool.client.iter_dialogs())).await.unwrap(), 99);
        dc.fault(Fault::OddDialogs, When::method("messages.getDialogs").times(1));
        assert!(tokio::spawn(count(pool.client.iter_dialogs())).await.unwrap_err().is_panic());
    });
}

#[test]
fn names_are_resolved() {
    let (dc, session) = example();
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        let found = pool.client.resolve_username("TGS_demo").await.unwrap().unwrap();
        assert_eq!(found.id().bare_id(), Some(World::CHANNEL));
        let found = pool.client.resolve_username("tgs_bob").await.unwrap().unwrap();
        assert_eq!(found.id().bare_id(), Some(World::BOB));
        for (name, error) in [("nobody_here", "USERNAME_NOT_OCCUPIED"), ("no-name", "USERNAME_INVALID")] {
            let request = functions::contacts::ResolveUsername { username: name.into(), referer: None };
            assert_eq!(name_of(pool.call(&request).await).1, error);
        }
    });
}

#[test]
fn a_call_is_created_found_titled_and_replaced() {
    let (dc, session) = example();
    let peer = channel(&dc, World::ALICE, World::CHANNEL);
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        assert_eq!(live_call(&pool, &peer).await, None);
        pool.call(&create(peer.clone(), Some("first"))).await.unwrap();
        let call = live_call(&pool, &peer).await.unwrap();
        let get = functions::phone::GetGroupCall { call: call.clone(), limit: 1 };
        let enums::phone::GroupCall::Call(found) = pool.call(&get).await.unwrap();
        let enums::GroupCall::Call(found) = found.call else { panic!("it has ended") };
        assert!(found.rtmp_stream && found.title.as_deref() == Some("first"));

        let title = functions::phone::EditGroupCallTitle { call: call.clone(), title: "now: second".into() };
        pool.call(&title).await.unwrap();
        assert_eq!(name_of(pool.call(&title).await).1, "GROUPCALL_NOT_MODIFIED");
        assert_eq!(dc.calls(World::CHANNEL)[0].title.as_deref(), Some("now: second"));

        // A new call ends the live one.
        pool.call(&create(peer.clone(), None)).await.unwrap();
        let live: Vec<_> = dc.calls(World::CHANNEL).iter().map(|call| call.live).collect();
        assert_eq!(live, [false, true]);
        assert_eq!(name_of(pool.call(&get).await), (403, "GROUPCALL_FORBIDDEN".to_owned(), None));

        assert!(dc.end_call(World::CHANNEL) && !dc.end_call(World::CHANNEL));
        assert_eq!(live_call(&pool, &peer).await, None);
        dc.start_webrtc(World::CHANNEL);
        assert_eq!(dc.calls(World::CHANNEL).last().unwrap().kind, CallKind::WebRtc);
        let call = live_call(&pool, &peer).await.unwrap();
        let enums::phone::GroupCall::Call(found) =
            pool.call(&functions::phone::GetGroupCall { call, limit: 1 }).await.unwrap();
        assert!(matches!(found.call, enums::GroupCall::Call(call) if !call.rtmp_stream));
    });
}

#[test]
fn the_stream_key_stays_until_it_is_revoked() {
    let (dc, session) = example();
    dc.set_ingest("rtmp://127.0.0.1:1935/live");
    let peer = channel(&dc, World::ALICE, World::CHANNEL);
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        let mut keys = Vec::new();
        for revoke in [false, false, true] {
            let enums::phone::GroupCallStreamRtmpUrl::Url(answer) =
                pool.call(&url(peer.clone(), revoke)).await.unwrap();
            assert_eq!(answer.url, "rtmp://127.0.0.1:1935/live/");
            assert!(answer.key.starts_with("2000000001:"), "{}", answer.key);
            keys.push(answer.key);
        }
        assert!(keys[0] == keys[1] && keys[1] != keys[2]);
        assert_eq!(dc.stream(World::CHANNEL).1, keys[2]);
    });
}

/// What stands in the way of each chat, for Alice.
fn obstacles(dc: &TestDc) -> [(enums::InputPeer, &'static str); 8] {
    let alice = World::ALICE;
    let wrong = types::InputPeerChannel { channel_id: World::CHANNEL, access_hash: 1 };
    let foreign = types::InputPeerChannel {
        channel_id: World::CHANNEL,
        access_hash: dc.access_hash(World::BOB, World::CHANNEL),
    };
    [
        (channel(dc, alice, World::SUPERGROUP), "CHAT_ADMIN_REQUIRED"),
        (channel(dc, alice, World::ELSEWHERE), "CHAT_ADMIN_REQUIRED"),
        (channel(dc, alice, World::PRIVATE), "CHANNEL_PRIVATE"),
        (wrong.into(), "CHANNEL_INVALID"),
        (foreign.into(), "CHANNEL_INVALID"),
        (types::InputPeerChat { chat_id: 1 }.into(), "CHAT_ID_INVALID"),
        (enums::InputPeer::PeerSelf, "PEER_ID_INVALID"),
        (enums::InputPeer::Empty, "PEER_ID_INVALID"),
    ]
}

#[test]
fn rights_and_wrong_peers_are_told_apart() {
    let (dc, session) = example();
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        for (peer, error) in obstacles(&dc) {
            assert_eq!(name_of(pool.call(&create(peer.clone(), None)).await).1, error, "{peer:?}");
            assert_eq!(name_of(pool.call(&url(peer.clone(), false)).await).1, error, "{peer:?}");
        }
        // A right that is given counts at once.
        dc.change(|world| world.chats[1].roles[1].1 = tgs_testdc::Role::Admin { manage_call: true });
        let supergroup = channel(&dc, World::ALICE, World::SUPERGROUP);
        pool.call(&create(supergroup.clone(), None)).await.unwrap();
        pool.call(&url(supergroup.clone(), false)).await.unwrap();
        assert_eq!(name_of(pool.call(&url(supergroup, true)).await).1, "CHAT_ADMIN_REQUIRED");
    });
}

#[test]
fn a_basic_group_has_calls_too() {
    let (dc, session) = example();
    let bob: SessionInfo = dc.new_session(World::BOB, 1);
    let peer = enums::InputPeer::from(types::InputPeerChat { chat_id: World::GROUP });
    runtime().block_on(async {
        let (alice, bob) = (pool(&dc, &[&session]), pool(&dc, &[&bob]));
        assert_eq!(name_of(bob.call(&create(peer.clone(), None)).await).1, "CHAT_ADMIN_REQUIRED");
        alice.call(&create(peer.clone(), None)).await.unwrap();
        let full = alice.call(&functions::messages::GetFullChat { chat_id: World::GROUP }).await.unwrap();
        let enums::messages::ChatFull::Full(full) = full;
        assert!(matches!(full.full_chat, enums::ChatFull::Full(full) if full.call.is_some()));
    });
    assert_eq!(dc.world().chats[2].kind, ChatKind::Basic);
}

#[test]
fn viewers_see_whether_somebody_publishes() {
    let (dc, session) = example();
    let peer = channel(&dc, World::ALICE, World::CHANNEL);
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        pool.call(&create(peer.clone(), None)).await.unwrap();
        let call = live_call(&pool, &peer).await.unwrap();
        let channels = functions::phone::GetGroupCallStreamChannels { call: call.clone() };
        assert_eq!(name_of(pool.call(&channels).await).1, "GROUPCALL_JOIN_MISSING");
        let join = functions::phone::JoinGroupCall {
            muted: true,
            video_stopped: true,
            call,
            join_as: enums::InputPeer::PeerSelf,
            invite_hash: None,
            public_key: None,
            block: None,
            params: types::DataJson { data: "{}".into() }.into(),
        };
        pool.call(&join).await.unwrap();
        for frame in [None, Some(1_700_000_000_000)] {
            dc.set_last_frame(World::CHANNEL, frame);
            let enums::phone::GroupCallStreamChannels::Channels(seen) = pool.call(&channels).await.unwrap();
            let seen =
                seen.channels.first().map(|enums::GroupCallStreamChannel::Channel(c)| c.last_timestamp_ms);
            assert_eq!(seen, frame);
        }
    });
}

#[test]
fn a_bot_may_not_stream() {
    let (dc, session) = example();
    dc.change(|world| world.accounts[0].bot = true);
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        let users = pool.call(&crate::client::get_self()).await.unwrap();
        assert!(matches!(&users[..], [enums::User::User(user)] if user.bot));
        let peer = channel(&dc, World::ALICE, World::CHANNEL);
        assert_eq!(name_of(pool.call(&create(peer.clone(), None)).await).1, "BOT_METHOD_INVALID");
        assert_eq!(name_of(pool.call(&url(peer, false)).await).1, "BOT_METHOD_INVALID");
    });
}

#[test]
fn a_method_that_is_not_there_is_logged_and_refused() {
    let (dc, session) = example();
    runtime().block_on(async {
        let pool = pool(&dc, &[&session]);
        let missing = pool.call(&functions::contacts::GetStatuses {}).await;
        assert_eq!(name_of(missing).1, "METHOD_INVALID");
    });
    assert_eq!(dc.count("contacts.getStatuses"), 1);
}
