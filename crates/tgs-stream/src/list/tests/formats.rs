//! What each format says about an entry, and what of it is refused.

use std::time::Duration;

use proptest::prelude::*;

use crate::list::{EntryOptions, Every, NotAList, read};

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// The options of all entries.
fn options(list: &str) -> Vec<EntryOptions> {
    read(list.as_bytes(), 100).unwrap().written.into_iter().map(|line| line.options).collect()
}

/// `line: what` of each fault.
fn faults(list: &str) -> Vec<String> {
    let faults = read(list.as_bytes(), 100).unwrap().faults;
    faults.into_iter().map(|fault| format!("{}: {}", fault.line, fault.what)).collect()
}

#[test]
fn vlc_options_and_rules_belong_to_the_following_entry() {
    let list = "#EXTM3U\n#EXTINF:90.5 group-title=\"Ads\",A\n#EXTVLCOPT:start-time=10\n\
        #EXTVLCOPT::stop-time=1:00.5\n#EXTVLCOPT:audio-language=ru, en\n#EXTVLCOPT:sub-language=de\n\
        #EXTVLCOPT:no-audio\n#EXTVLCOPT:input-repeat=2\n#EXTVLCOPT:input-slave=b.mp3\n#EXTART:X\n\
        #TGS:weight=3, every=15m, logo=off\na.mp4\nb.mp4\n#EXTVLCOPT:start-time=5\n#EXTVLCOPT:run-time=7\n\
        #EXTVLCOPT:network-caching=100\n#EXTINF:-1,C\n#tgs:every=4\nc.mp4\n";
    let expected = EntryOptions {
        in_point: seconds(10.0),
        out_point: Some(seconds(60.5)),
        length: Some(seconds(90.5)),
        audio_languages: vec!["ru".into(), "en".into()],
        subtitle_languages: vec!["de".into()],
        no_audio: true,
        repeats: 2,
        sound: Some("b.mp3".into()),
        artist: Some("X".into()),
        category: Some("Ads".into()),
        weight: Some(3),
        every: Some(Every::Time(Duration::from_mins(15))),
        no_logo: true,
    };
    let second = EntryOptions {
        in_point: seconds(5.0),
        out_point: Some(seconds(12.0)),
        every: Some(Every::Items(4)),
        ..EntryOptions::default()
    };
    assert_eq!(options(list), [expected, EntryOptions::default(), second]);
    assert_eq!(faults(list), [""; 0]);
}

#[test]
fn wrong_values_are_ignored_and_named_with_the_right_form() {
    let list = "#EXTVLCOPT:start-time=abc\n#EXTVLCOPT:stop-time=-1\n#EXTVLCOPT:audio-language=Русский!\n\
        #EXTVLCOPT:input-repeat=5000\n#TGS:weight=0\n#TGS:every=0\n#TGS:every=soon\n#TGS:colour=red\na\n\
        #EXTVLCOPT:start-time=9\n#EXTVLCOPT:stop-time=3\nb\n";
    let read = options(list);
    assert_eq!(read[0], EntryOptions::default());
    assert_eq!((read[1].in_point, read[1].out_point), (seconds(9.0), None));
    assert_eq!(
        faults(list),
        [
            "1: start-time “abc” is not a time: write seconds, such as start-time=90.5",
            "2: stop-time “-1” is not a time: write seconds, such as stop-time=90.5",
            "3: audio-language “Русский!” must be codes of languages, such as audio-language=ru,en",
            "4: input-repeat “5000” must be a number from 0 to 1000",
            "5: weight “0” must be a whole number from 1 to 100, such as #TGS:weight=3",
            "6: every “0” must be a time (1s to 7d) or a number of items (1 to 10000): write #TGS:every=15m or #TGS:every=4",
            "7: every “soon” must be a time (1s to 7d) or a number of items (1 to 10000): write #TGS:every=15m or #TGS:every=4",
            "8: #TGS knows no “colour=red”: write #TGS:weight=3, #TGS:every=15m, #TGS:every=4 or #TGS:logo=off",
            "12: it ends at 3 s, before it begins at 9 s; playing it to its end",
        ]
    );
    let many = "#TGS:x\n".repeat(50) + "a\n" + &"#TGS:x\nb\n".repeat(50);
    assert_eq!(faults(&many).len(), 20);
}

#[test]
fn pls_and_xspf_have_lengths_and_options() {
    let pls = "[playlist]\nFile1=a.jpg\nTitle1=A\nLength1=20\nFile2=b\nLength2=-1\nFile3=c\nLength3=x\n";
    let lengths: Vec<_> = options(pls).into_iter().map(|options| options.length).collect();
    assert_eq!(lengths, [Some(seconds(20.0)), None, None]);
    let xspf = "<?xml version=\"1.0\"?><playlist xmlns:vlc=\"http://www.videolan.org/vlc/playlist/ns/0/\"><trackList>\n\
        <track><location>a.mp4</location><creator>X</creator><duration>12500</duration>\n\
        <extension application=\"http://www.videolan.org/vlc/playlist/0\"><vlc:id>0</vlc:id>\
        <vlc:option>start-time=3.25</vlc:option><vlc:option>:stop-time=9</vlc:option>\
        <vlc:option>no-audio</vlc:option></extension></track>\n\
        <track><location>b.mp4</location><duration>nonsense</duration>\
        <extension><vlc:option>start-time=x</vlc:option></extension></track></trackList></playlist>";
    let expected = EntryOptions {
        in_point: seconds(3.25),
        out_point: Some(seconds(9.0)),
        length: Some(seconds(12.5)),
        no_audio: true,
        artist: Some("X".into()),
        ..EntryOptions::default()
    };
    assert_eq!(options(xspf), [expected, EntryOptions::default()]);
    assert_eq!(faults(xspf), ["4: start-time “x” is not a time: write seconds, such as start-time=90.5"]);
}

/// The form of ffplayout's example, with its comma too many.
const DAY: &str = r#"{
    "channel": "Test 1",
    "date": "2024-02-01",
    "program": [{
            "in": 0, "out": 647.68, "duration": 647.68,
            "source": "/media/one.mp4"
        }, {
            "in": 12.5, "out": 180.0, "duration": 1500.0,
            "source": "films/two, {really}.mp4",
            "title": "Two",
            "custom_filter": "eq=gamma=0.6[c_v_out]"
        }, {
            "in": 0, "out": 149, "duration": 149,
            "source": "/media/spot.mp4", "category": "advertisement"
        }, {
            "in": 0, "out": 114.72, "duration": 114.72,
            "source": "/media/poster.jpg",
        }, {
            "in": 0, "out": 230.30, "duration": 230.30,
            "source": "/media/poster.jpg", "audio": "/media/song.mp3"
        }, {
            "in": 0, "out": 2531.36, "duration": 2531.36,
            "source": "https://example.org/film.webm", "category": null
        }
    ]
}
"#;

#[test]
fn a_day_of_ffplayout_is_a_list() {
    let list = read(DAY.as_bytes(), 100).unwrap();
    let shown: Vec<String> = list
        .written
        .iter()
        .map(|line| {
            let EntryOptions { in_point, out_point, length, sound, category, .. } = &line.options;
            let seconds = |time: &Option<Duration>| time.map_or("-".to_owned(), |time| format!("{time:?}"));
            let text = |text: &Option<String>| text.clone().unwrap_or("-".to_owned());
            format!(
                "{} {} {} {in_point:?} {} {} {} {}",
                line.number,
                String::from_utf8_lossy(&line.text),
                text(&line.title),
                seconds(out_point),
                seconds(length),
                text(sound),
                text(category)
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "4 /media/one.mp4 - 0ns - 647.68s - -",
            "7 films/two, {really}.mp4 Two 12.5s 180s 167.5s - -",
            "12 /media/spot.mp4 - 0ns - 149s - advertisement",
            "15 /media/poster.jpg - 0ns - 114.72s - -",
            "18 /media/poster.jpg - 0ns - 230.3s /media/song.mp3 -",
            "21 https://example.org/film.webm - 0ns - 2531.36s - -",
        ]
    );
    let without_logo = list.written.iter().map(|line| line.options.no_logo);
    assert_eq!(without_logo.collect::<Vec<_>>(), [false, false, true, false, false, false]);
    assert_eq!(faults(DAY), ["7: \"custom_filter\" is ignored: FFMPEG_ARGS sets filters for all items"]);
    let first = read(DAY.as_bytes(), 2).unwrap();
    assert!(first.written.len() == 2 && first.more && !list.more);
}

#[test]
fn mistakes_in_json_are_named_and_the_other_items_play() {
    let day = r#"{"program": [
        {"in": -5, "out": "x", "duration": [], "source": "a"},
        {"in": "0:10", "out": 5, "source": "b"},
        {"source": ""},
        7,
        {"source": 7, "title": 1},
        {"source": "c", "in": null, "out": 0}
    ]}"#;
    let list = read(day.as_bytes(), 100).unwrap();
    let texts: Vec<_> = list.written.iter().map(|line| String::from_utf8_lossy(&line.text)).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!(list.written[1].options.in_point, seconds(10.0));
    assert!(
        list.written[0].options == EntryOptions::default()
            && list.written[2].options == EntryOptions::default()
    );
    let mut found = faults(day);
    found.sort();
    assert_eq!(
        found,
        [
            "2: \"duration\" “[]” is not a time: write seconds, such as \"duration\": 90.5",
            "2: \"in\" “-5” is not a time: write seconds, such as \"in\": 90.5",
            "2: \"out\" “\"x\"” is not a time: write seconds, such as \"out\": 90.5",
            "3: it ends at 5 s, before it begins at 10 s; playing it to its end",
            "4: the item has no source: write \"source\": \"/path/film.mp4\"",
            "5: “7” is no item: write {\"source\": \"/path\"}",
            "6: \"source\" “7” must be a text in quotes",
            "6: \"title\" “1” must be a text in quotes",
            "6: the item has no source: write \"source\": \"/path/film.mp4\"",
        ]
    );
    let refused = |text: &str| match read(text.as_bytes(), 9) {
        Err(NotAList::Other(what)) => what.into_owned(),
        other => panic!("{other:?}"),
    };
    assert!(
        refused("{\"program\": [\n{\"source\" \"a\"}]}")
            .starts_with("JSON with a mistake: expected `:` at line 2"),
    );
    assert_eq!(
        refused("{\"program\": {}}"),
        "JSON, but its \"program\" is no array: write \"program\": [{\"source\": \"/path\"}]"
    );
    assert_eq!(refused("{\"program\": null}"), "JSON, not a list");
}

#[test]
fn cyrillic_lists_of_windows_are_read() {
    // “Фильм”, “Ёлка и Київ” in Windows-1251, and French in Windows-1252.
    let title = |list: &[u8]| read(list, 9).unwrap().written[0].title.clone().unwrap();
    assert_eq!(title(b"#EXTINF:1,\xd4\xe8\xeb\xfc\xec\na.mp4"), "Фильм");
    assert_eq!(title(b"#EXTINF:1,\xa8\xeb\xea\xe0 \xe8 \xca\xe8\xbf\xe2\na.mp4"), "Ёлка и Київ");
    assert_eq!(
        title(b"#EXTINF:1,\xe0 la carte, d\xe9j\xe0 vu, Gr\xf6\xdfe\na.mp4"),
        "à la carte, déjà vu, Größe"
    );
    // A single letter is decided by the other titles.
    let list = b"#EXTINF:1,\xdf\na.mp4\n#EXTINF:1,\xd4\xe8\xeb\xfc\xec\nb.mp4";
    assert_eq!(title(list), "Я");
    assert_eq!(title(b"[playlist]\nFile1=a\nTitle1=\xd4\xe8\xeb\xfc\xec\n"), "Фильм");
    let xspf = b"<?xml version=\"1.0\" encoding=\"windows-1251\"?><playlist><trackList><track>\
        <location>a</location><title>\xdf</title></track></trackList></playlist>";
    assert_eq!(title(xspf), "Я");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_option_is_applied_or_refused(
        name in "(start-time|stop-time|run-time|audio-language|input-repeat|image-duration|input-slave|x)",
        value in "([0-9.:-]{0,12}|nan|inf|1e400|\\PC{0,20})",
        rule in "(weight|every|x)=([0-9smhd]{0,12}|\\PC{0,9})",
    ) {
        let list = format!("#EXTVLCOPT:{name}={value}\n#TGS:{rule}\na\n");
        for options in options(&list) {
            let limit = Duration::from_hours(24 * 24);
            prop_assert!(options.in_point <= limit && options.repeats <= 1000);
            prop_assert!(options.out_point.is_none_or(|out| out > options.in_point && out <= limit * 2));
            prop_assert!(options.weight.is_none_or(|weight| (1..=100).contains(&weight)));
        }
    }

    #[test]
    fn any_json_gives_bounded_items(
        values in prop::collection::vec(
            ("(in|out|duration|source|title|audio|category|x)", "(-?[0-9]{1,25}(\\.[0-9]{1,9})?|1e400|null|true|\"[^\"\\\\]{0,9}\"|\\[\\]|\\{\\})"),
            0..12,
        ),
        tail in "([]},\\n \"0-9]{0,6})",
        max in 0_usize..4,
    ) {
        let items: Vec<String> = values.iter().map(|(name, value)| format!("{{\"source\": \"a\", \"{name}\": {value}}},\n")).collect();
        let day = format!("{{\"program\": [\n{}]}}{tail}", items.concat());
        if let Ok(list) = read(day.as_bytes(), max) {
            prop_assert!(list.written.len() <= max);
            for line in list.written {
                prop_assert!(!line.text.is_empty() && line.number <= values.len() + 1);
                prop_assert!(line.options.out_point.is_none_or(|out| out > line.options.in_point));
            }
        }
    }
}
