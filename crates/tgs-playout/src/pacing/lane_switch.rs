//! The list and the open lanes, as the playout thread follows them. Decides nothing.

use std::{collections::VecDeque, sync::Arc};

use tgs_rtmp::flv::Tag;

use crate::{
    lane::{Lanes, OpenLane, lane_of},
    read_ahead::{ReadAhead, StartedItem},
    timeline::TagOrigin,
};

/// Limit of items remembered of a source: more than the tags of which may be on their way.
const MOST_RECENT: usize = 8;

/// The list and the open lanes, as the playout thread follows them.
#[derive(Debug)]
pub(crate) struct LaneSwitch {
    pub(super) lanes: Lanes,
    pub(super) list: ItemSource,
    pub(super) open: Vec<ItemSource>,
    /// The lane on air; 0 is the list.
    pub(super) current: u64,
    /// [`Lanes::changes`] at the last refresh.
    seen: u64,
}

/// The list or a lane: where items come from.
#[derive(Debug)]
pub(super) struct ItemSource {
    pub(super) lane: Option<Arc<OpenLane>>,
    pub(super) read_ahead: Arc<ReadAhead>,
    /// The items begun last, oldest first.
    recent: VecDeque<Arc<StartedItem>>,
    /// The sequence headers of the newest item: the filler's may differ.
    pub(super) headers: [Option<Tag>; 2],
    /// Where the item continues behind what has cut a group of pictures.
    pub(super) rewound: Option<TagOrigin>,
    /// Whether its late start has been logged.
    pub(super) late: bool,
}

impl ItemSource {
    fn new(lane: Option<Arc<OpenLane>>, read_ahead: Arc<ReadAhead>) -> Self {
        let (recent, headers) = (VecDeque::new(), [None, None]);
        Self { lane, read_ahead, recent, headers, rewound: None, late: false }
    }

    /// The number of its lane; 0 is the list.
    fn id(&self) -> u64 {
        self.lane.as_ref().map_or(0, |lane| lane.id)
    }

    pub(super) fn begin(&mut self, item: Arc<StartedItem>) {
        self.recent.push_back(item);
        if self.recent.len() > MOST_RECENT {
            self.recent.pop_front();
        }
        self.headers = [None, None];
    }

    #[cfg(test)]
    pub(super) fn recent_len(&self) -> usize {
        self.recent.len()
    }

    /// The item begun last.
    pub(super) fn newest(&self) -> Option<&Arc<StartedItem>> {
        self.recent.back()
    }

    /// Records that the item continues at the encoder's time `at`.
    pub(super) fn set_rewound(&mut self, at: Option<u64>) {
        self.rewound = at.zip(self.newest()).map(|(at, item)| TagOrigin {
            seq: item.seq,
            offset_ms: item.item.start.as_millis() as u64 + at,
        });
    }
}

impl LaneSwitch {
    /// The list with this read-ahead, and `lanes` beside it.
    pub(crate) fn new(read_ahead: Arc<ReadAhead>, lanes: Lanes) -> Self {
        Self { lanes, list: ItemSource::new(None, read_ahead), open: Vec::new(), current: 0, seen: 0 }
    }

    /// What is on air.
    pub(super) fn current(&self) -> &ItemSource {
        self.source(self.current)
    }

    pub(super) fn current_mut(&mut self) -> &mut ItemSource {
        let current = self.current;
        self.source_mut(current)
    }

    /// The lane on air; `None` for the list.
    pub(super) fn current_lane(&self) -> Option<&Arc<OpenLane>> {
        self.current().lane.as_ref()
    }

    pub(super) fn source(&self, id: u64) -> &ItemSource {
        self.open.iter().find(|source| source.id() == id).unwrap_or(&self.list)
    }

    pub(super) fn source_mut(&mut self, id: u64) -> &mut ItemSource {
        self.open.iter_mut().find(|source| source.id() == id).unwrap_or(&mut self.list)
    }

    /// The item with this number, if it is recent.
    pub(super) fn item(&self, seq: u64) -> Option<&Arc<StartedItem>> {
        self.source(lane_of(seq)).recent.iter().find(|item| item.seq == seq)
    }

    /// Where the item of `origin` continues: there, or before what cut its group of pictures.
    pub(super) fn resumes_at(&self, origin: TagOrigin) -> TagOrigin {
        let rewound = self.source(lane_of(origin.seq)).rewound;
        rewound.filter(|to| to.seq == origin.seq && to.offset_ms < origin.offset_ms).unwrap_or(origin)
    }

    /// The lane of `origin`; `None` for the list and for lanes that are over.
    pub(super) fn lane(&self, origin: TagOrigin) -> Option<&Arc<OpenLane>> {
        self.source(lane_of(origin.seq)).lane.as_ref()
    }

    /// Sets whether the connection is lost; what is not on air follows its live edge in any case.
    pub(super) fn set_at_live_edge(&self, away: bool) {
        self.current().read_ahead.set_at_live_edge(away);
    }

    /// Takes new lanes in, and drops those that were removed elsewhere.
    pub(super) fn refresh(&mut self) {
        let changes = self.lanes.changes();
        if changes == self.seen {
            return;
        }
        self.seen = changes;
        let all = self.lanes.all();
        let current = self.current;
        self.open.retain(|source| source.id() == current || all.iter().any(|lane| lane.id == source.id()));
        for lane in all {
            if !self.open.iter().any(|source| source.id() == lane.id) {
                let read_ahead = lane.read_ahead.clone();
                self.open.push(ItemSource::new(Some(lane), read_ahead));
            }
        }
    }

    pub(super) fn forget(&mut self, id: u64) {
        self.lanes.remove(id);
        self.open.retain(|source| source.id() != id);
    }
}
