//! One writer per repository. A lock object that stock restic understands (design.rst, "Locks"): restic's `prune`
//! refuses beside it, and we refuse beside restic's. Kept fresh by a thread; gone when the writer is gone.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    catalog::parse,
    crypto::Key,
    guard::Guard,
    storage::{Kind, Object},
};
use crate::{
    digest::Digest,
    failure::{Failure, Reason},
};

/// How often a lock is written anew.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// restic's age of a lock that nobody keeps any more.
const STALE: SignedDuration = SignedDuration::from_mins(30);
/// Without a refresh for so long we stop writing: others may soon take the lock for stale.
const LOST: SignedDuration = SignedDuration::from_mins(20);
/// Time for a rival's lock to become visible (restic waits as long).
const SETTLE: Duration = Duration::from_millis(200);

/// The contents of a lock object.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Holder {
    time: Timestamp,
    exclusive: bool,
    #[serde(default)]
    hostname: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    pid: u32,
}

impl Holder {
    /// restic's rule: older than half an hour, or of a process of this host that is gone.
    fn is_stale(&self, now: Timestamp, host: &str) -> bool {
        now.duration_since(self.time) > STALE || (self.hostname == host && !is_alive(self.pid))
    }
}

/// A lock that is held until this value is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    shared: Arc<Shared>,
    keeper: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    guard: Arc<Guard>,
    key: Key,
    exclusive: bool,
    current: Mutex<Option<Object>>,
    ended: Mutex<bool>,
    wake: Condvar,
}

impl Lock {
    /// Takes the lock. `exclusive`: for pruning, where not even readers of stock restic may run.
    ///
    /// # Errors
    /// [`Reason::LockedByOther`] while somebody else writes, naming host, process and time; what the store said.
    pub(crate) fn take(guard: &Arc<Guard>, key: &Key, exclusive: bool) -> Result<Self, Failure> {
        refuse_beside_others(guard, key, None)?;
        let shared = Arc::new(Shared {
            guard: Arc::clone(guard),
            key: key.clone(),
            exclusive,
            current: Mutex::new(None),
            ended: Mutex::new(false),
            wake: Condvar::new(),
        });
        let mut lock = Self { shared, keeper: None };
        let object = lock.shared.write()?;
        // Somebody may have looked at the same moment: both see each other now, and both step back.
        lock.shared.wait(SETTLE);
        refuse_beside_others(guard, key, Some(object.name))?;
        let shared = Arc::clone(&lock.shared);
        let keeper = std::thread::Builder::new()
            .name("repository-lock".to_owned())
            .spawn(move || shared.keep());
        lock.keeper =
            Some(keeper.map_err(|error| Failure::caused(Reason::Server, "starting the keeper of the lock", error))?);
        Ok(lock)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        if let Some(keeper) = self.keeper.take() {
            drop(keeper.join());
        }
        if let Some(object) = self.shared.current().take() {
            // A lock that stays behind is stale as soon as this process is gone.
            drop(self.shared.guard.remove(&object));
        }
    }
}

impl Shared {
    fn current(&self) -> std::sync::MutexGuard<'_, Option<Object>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a fresh lock, then removes the one before it.
    fn write(&self) -> Result<Object, Failure> {
        let holder = Holder {
            time: self.guard.run().clock.now(),
            exclusive: self.exclusive,
            hostname: self.guard.run().host.clone(),
            username: String::new(),
            pid: std::process::id(),
        };
        let plain = serde_json::to_vec(&holder)
            .map_err(|error| Failure::caused(Reason::Invalid, "writing the lock as JSON", error))?;
        let sealed = self.key.seal(&plain)?;
        let object = Object::new(Kind::Lock, Digest::of(&sealed));
        self.guard.write(&object, sealed.into())?;
        if let Some(before) = self.current().replace(object) {
            self.guard.remove(&before)?;
        }
        Ok(object)
    }

    /// Waits; answers whether the lock was given up meanwhile.
    fn wait(&self, time: Duration) -> bool {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.wake.wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn keep(&self) {
        let mut refreshed = self.guard.run().clock.now();
        while !self.wait(REFRESH) {
            let now = self.guard.run().clock.now();
            match self.write() {
                Ok(_) => refreshed = now,
                Err(failure) if now.duration_since(refreshed) > LOST => {
                    let text = "the repository's lock could not be refreshed for 20 minutes";
                    return self.guard.fail(Failure::caused(Reason::LockLost, text, failure));
                }
                // The next turn tries again.
                Err(_) => {}
            }
        }
    }
}

/// Fails when a fresh lock of somebody else is there; removes stale ones.
fn refuse_beside_others(guard: &Arc<Guard>, key: &Key, own: Option<Digest>) -> Result<(), Failure> {
    let run = guard.run();
    for listed in guard
        .list(Kind::Lock)?
        .into_iter()
        .filter(|listed| Some(listed.name) != own)
    {
        let object = Object::new(Kind::Lock, listed.name);
        let content = match guard.read_checked(&object) {
            // Released or renewed since the listing; a renewed one is seen by the second look.
            Err(failure) if failure.reason() == Reason::NotFound => continue,
            other => other?,
        };
        let holder: Holder = parse(&object, key, &content)?;
        if holder.is_stale(run.clock.now(), &run.host) {
            guard.remove(&object)?;
            continue;
        }
        let text = format!(
            "{} is locked by process {} on {} since {}",
            guard.location(),
            holder.pid,
            holder.hostname,
            holder.time.strftime("%Y-%m-%d %H:%M:%S UTC")
        );
        return Err(Failure::new(Reason::LockedByOther, text));
    }
    Ok(())
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // Anything but "no such process" means that somebody is there.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(age: SignedDuration, host: &str, pid: u32) -> (Holder, Timestamp) {
        let now: Timestamp = "2026-11-21T03:00:00Z".parse().unwrap();
        (
            Holder {
                time: now - age,
                exclusive: false,
                hostname: host.into(),
                username: String::new(),
                pid,
            },
            now,
        )
    }

    #[test]
    fn a_lock_is_stale_by_age_or_by_a_dead_process_of_this_host() {
        let alive = std::process::id();
        // Above the kernel's largest process id.
        let dead = 0x7fff_fff0;
        let cases = [
            (SignedDuration::from_mins(1), "here", alive, false),
            (SignedDuration::from_mins(31), "here", alive, true),
            (SignedDuration::from_mins(1), "here", dead, true),
            (SignedDuration::from_mins(1), "elsewhere", dead, false),
            // A clock that runs ahead elsewhere must not make its lock stale.
            (SignedDuration::from_mins(-10), "elsewhere", dead, false),
        ];
        for (age, host, pid, stale) in cases {
            let (holder, now) = holder(age, host, pid);
            assert_eq!(holder.is_stale(now, "here"), stale, "{age:?} {host} {pid}");
        }
    }
}
