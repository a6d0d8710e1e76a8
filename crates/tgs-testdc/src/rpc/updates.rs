//! `updates.*`: the state of an account's mailbox, and the changes that a client has missed.

use grammers_tl_types::{enums, functions, types};

use super::{Answer, Caller, Method};
use crate::{
    mailbox::{Change, Mailbox},
    message::now,
    objects,
};

/// `seq` of all states: updates of private chats do not count in it.
const SEQ: i32 = 1;
/// Most changes in one answer; the client requests the rest.
const MOST_CHANGES: usize = 100;

fn state(pts: i32) -> enums::updates::State {
    types::updates::State { pts, qts: 0, date: now(), seq: SEQ, unread_count: 0 }.into()
}

impl Method for functions::updates::GetState {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::updates::State> {
        let me = caller.me()?.user_id;
        Ok(state(caller.state.mail.get(&me).map_or(1, |mailbox| mailbox.pts)))
    }
}

impl Method for functions::updates::GetDifference {
    fn answer(self, caller: &mut Caller<'_>) -> Answer<enums::updates::Difference> {
        let me = caller.me()?.user_id;
        let empty = Mailbox::default();
        let mailbox = caller.state.mail.get(&me).unwrap_or(&empty);
        let missed = mailbox.since(self.pts);
        let Some(last) = missed.iter().take(MOST_CHANGES).next_back() else {
            return Ok(types::updates::DifferenceEmpty { date: now(), seq: SEQ }.into());
        };
        let message = |change: &Change| {
            mailbox.get(change.message).map(|message| objects::private_message(caller.state, message))
        };
        let (mut new_messages, mut other_updates, mut people) = (Vec::new(), Vec::new(), Vec::new());
        for change in missed.iter().take(MOST_CHANGES) {
            people.extend(mailbox.get(change.message).map(|message| message.other));
            let Some(message) = message(change) else { continue };
            if change.is_edit {
                other_updates
                    .push(types::UpdateEditMessage { message, pts: change.pts, pts_count: 1 }.into());
            } else {
                new_messages.push(message);
            }
        }
        people.push(me);
        people.sort_unstable();
        people.dedup();
        let users = people.iter().filter_map(|id| caller.state.account(*id));
        let users = users.map(|account| objects::user(caller.state, me, account)).collect();
        let (chats, new_encrypted_messages) = (Vec::new(), Vec::new());
        let state = state(last.pts);
        Ok(if missed.len() > MOST_CHANGES {
            types::updates::DifferenceSlice {
                new_messages,
                new_encrypted_messages,
                other_updates,
                chats,
                users,
                intermediate_state: state,
            }
            .into()
        } else {
            types::updates::Difference {
                new_messages,
                new_encrypted_messages,
                other_updates,
                chats,
                users,
                state,
            }
            .into()
        })
    }
}
