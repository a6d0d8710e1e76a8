//! The plan of a day: who has the air from when to when, and what an operator should look at.

mod planner;
mod render;
mod rows;
mod warnings;

pub use self::rows::{Plan, PlanItem, PlanRow, PlanWarning, RowKind, SlotContents, WarningKind};
