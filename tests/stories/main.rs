//! The stories: the daemon against real servers, from what happens to what a person learns of it.

#[cfg(test)]
mod backup_ends;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod bad_release;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod night;
#[cfg(test)]
mod outage;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod trace;
