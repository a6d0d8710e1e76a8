//! Who may publish, and until when: a function of etcd's answers and the clock.
//!
//! All times are milliseconds of the host's own `CLOCK_BOOTTIME`. A lease lasts at etcd at least
//! [`Timing::ttl`] from when the server has executed a request, so at least as long from when the
//! request was sent. The permit ends earlier by [`Timing::margin`] and by 1 % for clocks that run
//! at different rates.

/// Milliseconds of the host's clock.
pub type Millis = u64;

/// The number of a lease at etcd.
pub type LeaseId = i64;

/// How long a standby waits for each standby before it in order.
pub const STAGGER: Millis = 300;

/// The times of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timing {
    /// How long a lease lasts without renewal.
    pub ttl: Millis,
    /// How much earlier the permit ends.
    pub margin: Millis,
    /// Whether the host on air goes on without etcd (`HA_WITHOUT_ETCD=stay`).
    pub stays: bool,
}

/// What this host knows of its lease, and whether it may publish.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Election {
    timing: Timing,
    lease: Option<Lease>,
    active: bool,
    /// Since when nobody has been active, as far as this host has seen.
    free_since: Option<Millis>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Lease {
    id: LeaseId,
    /// When the last request that renewed it was sent.
    renewed: Millis,
}

/// An answer of etcd. `sent` is the time before its request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EtcdAnswer {
    /// A lease was granted.
    Granted {
        /// Its number.
        lease: LeaseId,
        /// When it was requested.
        sent: Millis,
    },
    /// The lease was renewed.
    Renewed {
        /// Its number.
        lease: LeaseId,
        /// When it was requested.
        sent: Millis,
    },
    /// The lease does not exist any more.
    LeaseGone {
        /// Its number.
        lease: LeaseId,
    },
    /// The key `active` was read.
    Seen {
        /// The lease it belongs to; `None` if nobody is active.
        holder: Option<LeaseId>,
        /// How many of the hosts present come before this one.
        rank: u32,
        /// Whether this host is able to take over.
        may_take: bool,
    },
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Create the key `active` for this lease, if it does not exist; then read it again.
    Take(LeaseId),
    /// This host may publish, until then; `None`: until [`Step::End`].
    Begin(Option<Millis>),
    /// It may publish for longer.
    Extend(Option<Millis>),
    /// It must not publish any more.
    End,
}

impl Election {
    /// A host without a lease.
    #[must_use]
    pub fn new(timing: Timing) -> Self {
        Self { timing, lease: None, active: false, free_since: None }
    }

    /// The lease of this host.
    #[must_use]
    pub fn lease(&self) -> Option<LeaseId> {
        self.lease.map(|lease| lease.id)
    }

    /// Whether this host may publish, as of the last step.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// When the lease may run out, as this host counts.
    #[must_use]
    pub fn lease_ends(&self) -> Option<Millis> {
        let Timing { ttl, margin, .. } = self.timing;
        Some(self.lease?.renewed + ttl.saturating_sub(ttl / 100 + margin))
    }

    /// Since when nobody has been active, as far as this host has seen.
    #[must_use]
    pub fn free_since(&self) -> Option<Millis> {
        self.free_since
    }

    /// The same host by a clock that is set back by `by`: for a model, whose states must not differ
    /// by the time of day.
    #[must_use]
    pub fn rebased(&self, by: Millis) -> Self {
        let back = |time: Millis| time.saturating_sub(by);
        let lease = self.lease.map(|lease| Lease { renewed: back(lease.renewed), ..lease });
        Self { lease, free_since: self.free_since.map(back), ..self.clone() }
    }

    /// When a standby tries to take over next.
    #[must_use]
    pub fn takes_at(&self, rank: u32) -> Option<Millis> {
        Some(self.free_since? + STAGGER * Millis::from(rank))
    }

    /// Whether the lease can be relied upon at `now`.
    fn has_lease(&self, now: Millis) -> bool {
        self.lease_ends().is_some_and(|ends| now < ends)
    }

    /// The end of the permit.
    fn permit_ends(&self) -> Option<Millis> {
        if self.timing.stays { None } else { Some(self.lease_ends().unwrap_or_default()) }
    }

    /// What follows from an answer that has arrived at `now`.
    pub fn answered(&mut self, answer: EtcdAnswer, now: Millis) -> Option<Step> {
        // A process that was stopped has not looked at the clock.
        let expired = self.tick(now);
        if expired.is_some() && !matches!(answer, EtcdAnswer::Seen { .. }) {
            self.note_lease(answer);
            return expired;
        }
        match answer {
            EtcdAnswer::Granted { .. } | EtcdAnswer::Renewed { .. } => {
                self.note_lease(answer);
                self.active.then(|| Step::Extend(self.permit_ends()))
            }
            EtcdAnswer::LeaseGone { .. } => {
                self.note_lease(answer);
                // With `stays`, the key decides: it is read, and created again, with a new lease.
                if self.lease.is_none() && !self.timing.stays { self.end() } else { None }
            }
            EtcdAnswer::Seen { holder, rank, may_take } => expired.or(self.seen(holder, rank, may_take, now)),
        }
    }

    fn note_lease(&mut self, answer: EtcdAnswer) {
        match answer {
            EtcdAnswer::Granted { lease, sent } => self.lease = Some(Lease { id: lease, renewed: sent }),
            EtcdAnswer::Renewed { lease: id, sent } => {
                if let Some(lease) = self.lease.as_mut().filter(|lease| lease.id == id) {
                    lease.renewed = lease.renewed.max(sent);
                }
            }
            EtcdAnswer::LeaseGone { lease: id } => self.lease = self.lease.filter(|lease| lease.id != id),
            EtcdAnswer::Seen { .. } => {}
        }
    }

    fn seen(&mut self, holder: Option<LeaseId>, rank: u32, may_take: bool, now: Millis) -> Option<Step> {
        let own = self.lease();
        match holder {
            Some(_) if holder == own => {
                self.free_since = None;
                if self.active || !self.has_lease(now) {
                    return None;
                }
                self.active = true;
                Some(Step::Begin(self.permit_ends()))
            }
            // Another host, or this one with a lease that it has lost.
            Some(_) => {
                self.free_since = None;
                self.end()
            }
            None if self.active && !self.timing.stays => self.end(),
            None => {
                let since = *self.free_since.get_or_insert(now);
                let due = self.active || now >= since + STAGGER * Millis::from(rank);
                let lease = own.filter(|_| due && (may_take || self.active) && self.has_lease(now))?;
                Some(Step::Take(lease))
            }
        }
    }

    /// What follows from the time alone.
    pub fn tick(&mut self, now: Millis) -> Option<Step> {
        if self.active && !self.timing.stays && !self.has_lease(now) { self.end() } else { None }
    }

    /// This host leaves the air by itself. It gives the key away, or deletes it, afterwards.
    pub fn leave(&mut self) -> Option<Step> {
        self.end()
    }

    fn end(&mut self) -> Option<Step> {
        std::mem::take(&mut self.active).then_some(Step::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing { ttl: 5000, margin: 250, stays: false };

    /// Seconds 0 to 4.7 are under the lease.
    fn with_lease(timing: Timing) -> Election {
        let mut election = Election::new(timing);
        assert_eq!(election.answered(EtcdAnswer::Granted { lease: 7, sent: 1000 }, 1010), None);
        election
    }

    fn seen(holder: Option<LeaseId>) -> EtcdAnswer {
        EtcdAnswer::Seen { holder, rank: 0, may_take: true }
    }

    fn active(timing: Timing) -> Election {
        let mut election = with_lease(timing);
        assert_eq!(election.answered(seen(None), 1100), Some(Step::Take(7)));
        let begins = if timing.stays { None } else { Some(5700) };
        assert_eq!(election.answered(seen(Some(7)), 1200), Some(Step::Begin(begins)));
        election
    }

    #[test]
    fn a_permit_counts_from_before_the_request_and_ends_before_the_lease() {
        let mut election = active(TIMING);
        let renewed = election.answered(EtcdAnswer::Renewed { lease: 7, sent: 2000 }, 4000);
        assert_eq!(renewed, Some(Step::Extend(Some(6700))));
        assert_eq!(election.tick(6699), None);
        assert_eq!(election.tick(6700), Some(Step::End));
        assert_eq!(election.tick(6701), None);
    }

    #[test]
    fn an_answer_after_a_long_pause_does_not_prolong_the_permit() {
        let mut election = active(TIMING);
        // The request was sent in time; the process was stopped before the answer was read.
        assert_eq!(election.answered(EtcdAnswer::Renewed { lease: 7, sent: 2000 }, 9000), Some(Step::End));
        assert_eq!(election.answered(seen(Some(7)), 9001), None);
        let _ = election.answered(EtcdAnswer::Renewed { lease: 7, sent: 9100 }, 9110);
        assert_eq!(election.answered(seen(Some(7)), 9120), Some(Step::Begin(Some(13_800))));
    }

    #[test]
    fn a_standby_takes_what_is_free_in_order_of_rank() {
        let mut election = with_lease(TIMING);
        assert_eq!(election.answered(seen(Some(9)), 1100), None);
        let third = EtcdAnswer::Seen { holder: None, rank: 2, may_take: true };
        assert_eq!(election.answered(third, 1200), None);
        assert_eq!(election.takes_at(2), Some(1800));
        assert_eq!(election.answered(third, 1799), None);
        assert_eq!(election.answered(third, 1800), Some(Step::Take(7)));
        assert_eq!(election.answered(seen(Some(9)), 1900), None, "another one was faster");
        let unable = EtcdAnswer::Seen { holder: None, rank: 0, may_take: false };
        assert_eq!(election.answered(unable, 2000), None);
        assert_eq!(election.answered(seen(None), 5800), None, "its own lease is too old");
    }

    #[test]
    fn the_air_is_lost_with_the_key_and_with_the_lease() {
        for answer in [seen(None), seen(Some(9)), EtcdAnswer::LeaseGone { lease: 7 }] {
            assert_eq!(active(TIMING).answered(answer, 1300), Some(Step::End), "{answer:?}");
        }
    }

    #[test]
    fn with_stay_only_another_host_ends_the_permit() {
        let timing = Timing { stays: true, ..TIMING };
        let mut election = active(timing);
        assert_eq!(election.tick(60_000), None);
        assert_eq!(election.answered(EtcdAnswer::LeaseGone { lease: 7 }, 60_010), None);
        assert_eq!(election.answered(seen(None), 60_020), None);
        let _ = election.answered(EtcdAnswer::Granted { lease: 8, sent: 60_030 }, 60_040);
        assert_eq!(election.answered(seen(None), 60_050), Some(Step::Take(8)));
        assert_eq!(election.answered(seen(Some(9)), 60_060), Some(Step::End));
    }

    #[test]
    fn a_host_that_leaves_may_not_publish_although_it_still_has_the_key() {
        let mut election = active(TIMING);
        assert_eq!(election.leave(), Some(Step::End));
        assert!(!election.is_active() && election.leave().is_none());
    }
}
