//! Slot by slot with `CLUSTER GETKEYSINSLOT`: one reply is an atomic snapshot of a slot, without duplicates. A full
//! reply means that the slot has more keys: it is giant and read with a cursor instead. The same applies to a slot
//! whose names exceed the size of one write or the server's reply limit.

use std::collections::VecDeque;

use keysweep_model::limits::WINDOW_BYTES_MAX;
use keysweep_model::slot::SlotSet;
use keysweep_pacing::limits::WINDOW_KEYS;
use keysweep_redis::{Listing, PageState, WindowReply};

use super::{ListedKey, PageOutcome, WalkProgress};
use crate::limits::{SLOT_KEYS_MAX, WINDOW_LISTINGS_MAX};

/// A walk through slots, one command per slot.
pub struct SlotWalk {
    todo: VecDeque<u16>,
    /// Slots requested but not answered yet.
    asked: Vec<u16>,
    done: Vec<u16>,
    giant: Vec<u16>,
    /// Keys listed so far plus the plan's estimate, to estimate how many slots fit into a write.
    keys: u64,
    slots: u64,
}

impl SlotWalk {
    pub(super) fn new(slots: &SlotSet, keys: u64) -> Self {
        Self {
            todo: slots.iter().collect(),
            asked: Vec::new(),
            done: Vec::new(),
            giant: Vec::new(),
            keys,
            slots: slots.len() as u64,
        }
    }

    pub(super) fn next_listings(&mut self, room: Option<u64>) -> Vec<Listing> {
        let keys_per_slot = (self.keys / self.slots.max(1)).max(1);
        let slots =
            (room.unwrap_or(WINDOW_KEYS) / keys_per_slot).clamp(1, WINDOW_LISTINGS_MAX as u64) as usize;
        self.asked = self.todo.drain(..slots.min(self.todo.len())).collect();
        self.asked.iter().map(|slot| Listing::KeysInSlot { slot: *slot, count: SLOT_KEYS_MAX + 1 }).collect()
    }

    pub(super) fn process(&mut self, answers: &WindowReply, listed: &mut Vec<ListedKey>) -> PageOutcome {
        let (mut again, mut room) = (Vec::new(), WINDOW_BYTES_MAX);
        for (slot, page) in std::mem::take(&mut self.asked).into_iter().zip(answers.pages()) {
            let bytes = page.bytes();
            let too_large = page.state == PageState::TooLarge || bytes > WINDOW_BYTES_MAX;
            if page.keys.len() as u64 > SLOT_KEYS_MAX || too_large {
                self.giant.push(slot);
                continue;
            }
            if bytes > room || page.state == PageState::NotAsked {
                again.push(slot);
                continue;
            }
            room -= bytes;
            self.done.push(slot);
            self.keys += page.keys.len() as u64;
            self.slots += 1;
            listed.extend(page.keys.iter().map(|place| ListedKey { slot, place: *place }));
        }
        again.into_iter().rev().for_each(|slot| self.todo.push_front(slot));
        PageOutcome::Keys
    }

    pub(super) fn reached(&self) -> WalkProgress {
        WalkProgress {
            slots: self.done.iter().copied().collect(),
            unread: self.todo.iter().chain(&self.asked).copied().collect(),
            giant: self.giant.iter().copied().collect(),
            ..WalkProgress::default()
        }
    }
}
