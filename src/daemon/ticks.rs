//! The loop in which a database is followed.

use std::time::Instant;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time;

use super::Database;
use super::baseline::Keeper;
use super::database::{Ended, Following, blocking};
use super::pace::{GLANCES, Pace, glance};
use super::rest::{Leave, Left, let_go};
use crate::follow::watch::Watcher;
use crate::follow::{Follower, Lost, Need, Tick};
use crate::host;
use crate::ship::Conflict;

impl Database {
    /// One tick: where it can block if it may, here if it is over in no time, not at all if there is nothing to do.
    async fn tick(&self, mut follower: Follower, check: bool) -> (Follower, Result<Tick, Lost>) {
        let now = self.clock.now();
        match follower.need() {
            Need::Nothing(again_at) if !check => (follower, Ok(Tick { again_at, ..Tick::default() })),
            Need::Light if !check => {
                let ticked = follower.look(now);
                (follower, ticked)
            }
            _ => {
                blocking(move || {
                    let checked = if check { follower.check_identity() } else { Ok(()) };
                    let ticked = checked.and_then(|()| follower.tick(now));
                    (follower, ticked)
                })
                .await
            }
        }
    }

    /// Ticks on every event, on every poll and when the follower asks for it.
    pub(super) async fn tick_until(
        &self,
        (mut follower, mut keeper, mut leave): (Follower, Keeper, Leave),
        (wake, watcher): (&Notify, Option<&Watcher>),
        stop: &mut watch::Receiver<bool>,
        shippers: &mut JoinSet<Result<(), Conflict>>,
    ) -> (Following, Keeper) {
        let ended = |why, follower, keeper| (Following::Ended(why, Box::new(follower)), keeper);
        let mut news = follower.log().subscribe();
        let mut checked = host::now();
        let mut pace = Pace::new(watcher, follower.path(), self.replicas.iter().map(|r| r.sync_interval));
        let mut glances = GLANCES;
        loop {
            let stopping = *stop.borrow();
            let check = host::since(checked) >= self.poll_interval;
            let ticked;
            (follower, ticked) = self.tick(follower, check).await;
            if check {
                checked = host::now();
            }
            let tick = match ticked {
                Ok(_) if stopping => return ended(Ended::Stopped, follower, keeper),
                Ok(tick) => tick,
                Err(lost) => return ended(Ended::Lost(lost), follower, keeper),
            };
            keeper.note_progress(follower.log());
            if tick.handover && keeper.is_due() {
                (keeper, follower) = blocking(move || {
                    keeper.stage(&follower);
                    (keeper, follower)
                })
                .await;
            }
            let alone = tick.commits == 0 && follower.is_alone();
            if alone && leave.is_due() && follower.may_let_go() {
                let left;
                (left, keeper) = let_go(follower, keeper, &self.path, self.clock.now()).await;
                follower = match left {
                    Left::Yes(seen) => {
                        tracing::debug!(db = %self.name(), "nobody else has the database open: letting go of it");
                        return (Following::LetGo(seen), keeper);
                    }
                    Left::No(follower) => *follower,
                    Left::Lost(follower, lost) => return ended(Ended::Lost(lost), *follower, keeper),
                };
                leave.put_off();
            }
            let now = host::now();
            let poll = now + pace.after(tick.commits, now).min(glance(glances)).min(self.poll_interval);
            glances = (glances + 1).min(GLANCES);
            let until =
                [tick.again_at, leave.not_yet().filter(|_| alone)].into_iter().flatten().fold(poll, Instant::min);
            let waits = alone || follower.waits_for_shippers();
            news.borrow_and_update();
            // In this order: a database that is written to all the time wakes us all the time.
            tokio::select! { biased;
                Some(shipped) = shippers.join_next() => {
                    match shipped {
                        Ok(Err(conflict)) => return ended(Ended::Conflict(conflict), follower, keeper),
                        Ok(Ok(())) => {}
                        Err(error) => std::panic::resume_unwind(error.into_panic()),
                    }
                }
                Ok(()) = stop.changed() => {}
                Ok(()) = news.changed(), if waits => {}
                () = wake.notified() => glances = 0,
                () = time::sleep_until(until.into()) => {}
            }
        }
    }
}
