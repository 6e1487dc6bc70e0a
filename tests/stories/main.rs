//! The stories: the daemon against real servers, from what happens to what a person learns of it.
