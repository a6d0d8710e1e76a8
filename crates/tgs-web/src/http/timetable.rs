//! The timetable of a channel: its plan for every user, changes of its slots for operators.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, Query, State, rejection::JsonRejection},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tgs_control::{
    ControlClient, ControlError, ScheduleText,
    method::{Call, NoParams, SchedulePlanParams, ScheduleSetParams},
    rpc::{ErrorCode, LONGEST_MESSAGE},
};
use tgs_core::mask;
use tgs_schedule::{
    Slot, Timetable,
    edit::{self, NewSlot},
};

use super::{
    client::{SignedIn, SignedInOperator},
    command::{checked_source, connected},
    refusal::HttpRefusal,
};
use crate::desk::Desk;

/// Most days of a plan.
const MOST_DAYS: u16 = 7;
/// Bytes of a message beside the timetable's text.
const ENVELOPE: usize = 256;

/// A part of the plan.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PlanQuery {
    /// The first day; today without it.
    from: Option<String>,
    days: Option<u16>,
}

/// A slot, as an operator recognises it.
#[derive(Debug, Serialize)]
struct ShownSlot {
    name: String,
    days: String,
    at: String,
    play: String,
}

impl From<&Slot> for ShownSlot {
    fn from(slot: &Slot) -> Self {
        Self {
            name: slot.name.clone(),
            days: slot.days.to_string(),
            at: slot.at.to_string(),
            // A viewer sees it, too.
            play: mask::urls(&slot.play).into_owned(),
        }
    }
}

/// The slots and the plan.
pub(super) async fn show(
    State(desk): State<Arc<Desk>>,
    user: SignedIn,
    Path(channel): Path<String>,
    Query(query): Query<PlanQuery>,
) -> Result<Json<Value>, HttpRefusal> {
    let channel = desk.channels.get(&channel).ok_or_else(HttpRefusal::no_channel)?;
    let days = query.days.unwrap_or(1).clamp(1, MOST_DAYS);
    let plan = Call::SchedulePlan(SchedulePlanParams { from: query.from, days });
    let act = move |control: &mut ControlClient| {
        // The text first: a change made from a text that is older than the plan is refused.
        let ScheduleText { text, etag, problem, path } = control.get(&Call::ScheduleGet(NoParams {}))?;
        let plan = control.call(&plan)?;
        let slots = Timetable::parse(&text).map(|table| table.slots().iter().map(ShownSlot::from).collect());
        let slots: Vec<_> = slots.unwrap_or_default();
        Ok(json!({ "path": path, "etag": etag, "problem": problem, "slots": slots, "plan": plan }))
    };
    connected(&desk, &channel, user.stated_name(), act).await.map(Json)
}

/// A change of one slot.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum SlotEdit {
    /// Adds a slot.
    Add {
        /// The version of the text that the operator saw.
        etag: String,
        slot: SlotForm,
    },
    /// Moves a slot to another time of day.
    Move {
        etag: String,
        slot: usize,
        /// The slot's name: a guard against the wrong one.
        name: String,
        at: String,
    },
    /// Removes a slot.
    Remove { etag: String, slot: usize, name: String },
}

/// What the desk can say of a new slot. `fill`, which names a second source, is not in it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlotForm {
    name: String,
    days: Option<String>,
    at: String,
    play: String,
    start: Option<String>,
    #[serde(rename = "for")]
    length: Option<String>,
}

impl From<SlotForm> for NewSlot {
    fn from(form: SlotForm) -> Self {
        let SlotForm { name, days, at, play, start, length } = form;
        Self { name, days, at, play, start, length, ..Self::default() }
    }
}

/// Changes the timetable's file through the broadcast.
pub(super) async fn edit(
    State(desk): State<Arc<Desk>>,
    SignedInOperator(user): SignedInOperator,
    Path(channel): Path<String>,
    form: Result<Json<SlotEdit>, JsonRejection>,
) -> Result<Json<Value>, HttpRefusal> {
    let bad = |error: JsonRejection| HttpRefusal::new(StatusCode::BAD_REQUEST, "refused", error.body_text());
    let Json(mut change) = form.map_err(bad)?;
    let channel = desk.channels.get(&channel).ok_or_else(HttpRefusal::no_channel)?;
    if let SlotEdit::Add { slot, .. } = &mut change {
        (slot.play, _) = checked_source(&desk, slot.play.trim().to_owned()).await?;
    }
    log::info!("{}: timetable: {} from {}", channel.name, change.described(), user.name);
    let act = move |control: &mut ControlClient| change.send(control);
    connected(&desk, &channel, user.stated_name(), act).await.map(Json)
}

impl SlotEdit {
    /// The change in words for the log, without the source, which may hold a token.
    fn described(&self) -> String {
        match self {
            Self::Add { slot, .. } => format!("add slot {:?} at {:?}", slot.name, slot.at),
            Self::Move { name, at, .. } => format!("move slot {name:?} to {at:?}"),
            Self::Remove { name, .. } => format!("remove slot {name:?}"),
        }
    }

    fn send(self, control: &mut ControlClient) -> Result<Value, HttpRefusal> {
        let seen: ScheduleText = control.get(&Call::ScheduleGet(NoParams {}))?;
        let (Self::Add { etag, .. } | Self::Move { etag, .. } | Self::Remove { etag, .. }) = &self;
        if *etag != seen.etag {
            return Err(HttpRefusal::timetable_changed());
        }
        let text = self.applied(&seen.text)?;
        let escaped = serde_json::to_string(&text).map_err(|_| HttpRefusal::internal())?;
        if escaped.len() + ENVELOPE > LONGEST_MESSAGE {
            let why = "the timetable is too large to be changed from here; edit its file";
            return Err(HttpRefusal::new(StatusCode::UNPROCESSABLE_ENTITY, "timetable", why));
        }
        let set = Call::ScheduleSet(ScheduleSetParams { text, etag: seen.etag });
        match control.get::<ScheduleText>(&set) {
            Ok(now) => Ok(json!({ "etag": now.etag })),
            Err(ControlError::Refused(error)) if error.is(ErrorCode::Refused) => {
                Err(HttpRefusal::timetable_changed())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The text after the change.
    fn applied(self, text: &str) -> Result<String, HttpRefusal> {
        if let Self::Move { slot, name, .. } | Self::Remove { slot, name, .. } = &self {
            let table = Timetable::parse(text).ok();
            let known = table.as_ref().and_then(|table| table.slots().get(*slot));
            // The plan may have been made from another version than the text.
            if known.is_some_and(|known| known.name != *name) {
                return Err(HttpRefusal::timetable_changed());
            }
        }
        let changed = match self {
            Self::Add { slot, .. } => edit::add_slot(text, &slot.into()),
            Self::Move { slot, at, .. } => edit::move_slot(text, slot, &at),
            Self::Remove { slot, .. } => edit::remove_slot(text, slot),
        };
        let refused = |why: edit::EditError| {
            HttpRefusal::new(StatusCode::UNPROCESSABLE_ENTITY, "timetable", why.to_string())
        };
        changed.map_err(refused)
    }
}
