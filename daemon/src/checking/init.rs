//! `watchkeep init`: a commented configuration, and with `--systemd` a unit that fits it.

use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use miette::{IntoDiagnostic, WrapErr};

use crate::keeping;

/// The file that `init` writes.
const TEMPLATE: &str = include_str!("../settings/template.toml");
/// The unit that `init --systemd` writes.
const UNIT: &str = include_str!("../settings/watchkeep.service");
/// What the unit runs as it is committed.
const UNIT_COMMAND: &str = "/usr/local/bin/watchkeep run --config /etc/watchkeep/watchkeep.toml";
/// Data folder of the template, and of a daemon under systemd.
const DATA: &str = "watchkeep-data";
const SYSTEM_DATA: &str = "/var/lib/watchkeep";
/// Where the configuration and its secrets lie under systemd.
const SYSTEM_CONFIG: &str = "/etc/watchkeep";
/// Where the unit runs the binary from, unless it is in a place of the system already.
const SYSTEM_BINARY: &str = "/usr/local/bin/watchkeep";

/// Writes a commented configuration, a repository password, and the systemd unit if asked. Overwrites nothing.
///
/// # Errors
/// When a file is there already or cannot be written.
pub(crate) fn init(to: Option<&Path>, systemd: bool) -> miette::Result<Vec<String>> {
    let to = to.unwrap_or(Path::new("watchkeep.toml"));
    if systemd {
        return init_systemd(to);
    }
    write_new(to, TEMPLATE)?;
    let mut said = vec![format!("wrote {}", to.display())];
    said.extend(first_key()?);
    said.push(format!(
        "next: edit it, then `watchkeep check --config {}`, then `watchkeep run`",
        to.display()
    ));
    Ok(said)
}

fn init_systemd(to: &Path) -> miette::Result<Vec<String>> {
    let unit = to.with_file_name("watchkeep.service");
    let here = std::path::absolute(to)
        .into_diagnostic()
        .wrap_err("find out where the configuration is")?;
    let binary = std::env::current_exe()
        .into_diagnostic()
        .wrap_err("find out where the binary is")?;
    let places = Places::new(binary, here);
    write_new(to, &configuration())?;
    write_new(&unit, &places.unit())?;
    let mut said = vec![format!("wrote {} and {}", to.display(), unit.display())];
    said.push("next, as root:".to_owned());
    said.extend(places.steps(to, &unit).into_iter().map(|step| format!("  {step}")));
    said.push(format!(
        "afterwards keep a copy of {SYSTEM_DATA}/repository.key elsewhere: the first start makes it, and without it no backup opens"
    ));
    Ok(said)
}

/// The template for a daemon that runs as a service: data where the unit may write, secrets in files that it may read.
fn configuration() -> String {
    let mut text = TEMPLATE.replace(DATA, SYSTEM_DATA);
    for (name, file) in [
        ("SMTP_URL", "smtp-url"),
        ("HOOK_URL", "hook-url"),
        ("HOOK_SECRET", "hook-secret"),
        ("HEARTBEAT_URL", "heartbeat-url"),
        ("R2_ENDPOINT", "r2-endpoint"),
        ("R2_KEY", "r2-key"),
        ("R2_SECRET", "r2-secret"),
    ] {
        let place = format!("{{ file = \"{SYSTEM_CONFIG}/{file}\" }}");
        text = text.replace(&format!("{{ env = \"{name}\" }}"), &place);
        text = text.replace(&format!("{name}="), &format!("{file} holds "));
    }
    text
}

/// Where binary and configuration are, and where the unit has them.
struct Places {
    binary: PathBuf,
    config: PathBuf,
    unit_binary: PathBuf,
    unit_config: PathBuf,
}

impl Places {
    fn new(binary: PathBuf, config: PathBuf) -> Self {
        let unit_binary = if fits(&binary, &["/usr", "/opt"]) {
            binary.clone()
        } else {
            SYSTEM_BINARY.into()
        };
        let unit_config = if fits(&config, &["/etc", "/usr", "/opt", "/srv"]) {
            config.clone()
        } else {
            Path::new(SYSTEM_CONFIG).join("watchkeep.toml")
        };
        Self {
            binary,
            config,
            unit_binary,
            unit_config,
        }
    }

    fn unit(&self) -> String {
        let command = format!(
            "{} run --config {}",
            self.unit_binary.display(),
            self.unit_config.display()
        );
        UNIT.replace(UNIT_COMMAND, &command)
    }

    /// What is left to do, in its order.
    fn steps(&self, config: &Path, unit: &Path) -> Vec<String> {
        let (binary, unit_config) = (self.unit_binary.display(), self.unit_config.display());
        let mut steps = vec![
            format!("useradd --system --home-dir {SYSTEM_DATA} --shell /usr/sbin/nologin watchkeep"),
            format!("install -d -o watchkeep -g watchkeep -m 0700 {SYSTEM_DATA}"),
        ];
        if self.binary != self.unit_binary {
            steps.push(format!("install -m 0755 {} {binary}", self.binary.display()));
        }
        if self.config != self.unit_config {
            steps.push(format!("install -D -m 0644 {} {unit_config}", config.display()));
        }
        steps.extend([
            format!(
                "install -m 0644 {} /etc/systemd/system/watchkeep.service",
                unit.display()
            ),
            format!("# edit {unit_config}; put a secret in its file:"),
            format!("install -g watchkeep -m 0640 /dev/stdin {SYSTEM_CONFIG}/smtp-url"),
            format!("runuser -u watchkeep -- {binary} check --config {unit_config}"),
            "systemctl daemon-reload && systemctl enable --now watchkeep".to_owned(),
            format!("{binary} status"),
        ]);
        steps
    }
}

/// Whether a unit may name the path as it is: it is in a place that the unit's process sees, and needs no quoting.
fn fits(path: &Path, places: &[&str]) -> bool {
    let plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.'))
    };
    path.to_str().is_some_and(plain) && places.iter().any(|place| path.starts_with(place))
}

/// Makes the password of the repository that the template names, unless it is there.
fn first_key() -> miette::Result<Option<String>> {
    let key = Path::new(DATA).join("repository.key");
    if key.exists() {
        return Ok(None);
    }
    keeping::write_password(&key)
        .into_diagnostic()
        .wrap_err_with(|| format!("write {}", key.display()))?;
    let said = "the password of the backup repository. Keep a copy elsewhere: without it no backup opens";
    Ok(Some(format!("wrote {}: {said}", key.display())))
}

fn write_new(path: &Path, text: &str) -> miette::Result<()> {
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written
        .into_diagnostic()
        .wrap_err_with(|| format!("write {}: an existing file is left alone", path.display()))
}

#[cfg(test)]
mod tests {
    use config::Source;

    use super::*;
    use crate::settings;

    fn settings_of(text: &str) -> settings::Settings {
        settings::read(&Source::new("watchkeep.toml", text)).unwrap_or_else(|wrong| panic!("{}", wrong.render(false)))
    }

    /// The template with every example in it made real.
    fn uncommented(text: &str) -> String {
        let is_key = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.'));
        let is_setting =
            |text: &&str| text.starts_with('[') || text.split_once(" = ").is_some_and(|(key, _)| is_key(key));
        let one = |line: &str| line.strip_prefix("# ").filter(is_setting).unwrap_or(line).to_owned();
        text.lines().map(one).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_configuration_and_the_unit_fit_each_other() {
        let text = configuration();
        let settings = settings_of(&text);
        assert_eq!(settings.data(), Path::new(SYSTEM_DATA));
        let unit = Places::new("/usr/bin/watchkeep".into(), "/etc/watchkeep/watchkeep.toml".into()).unit();
        for line in [
            "ExecStart=/usr/bin/watchkeep run --config /etc/watchkeep/watchkeep.toml",
            "StateDirectory=watchkeep",
            "WorkingDirectory=/var/lib/watchkeep",
            "User=watchkeep",
        ] {
            assert!(unit.lines().any(|found| found == line), "{line}\n{unit}");
        }
        let repository = settings.repository.values().next().unwrap();
        let key = repository.password.file_path().unwrap();
        assert!(key.starts_with(SYSTEM_DATA), "{}", key.display());
        assert!(!text.contains(DATA), "nothing is left of where it was: {text}");
        assert!(
            !text.contains("{ env = \"SMTP_URL\" }"),
            "a service does not see the shell's variables"
        );
    }

    #[test]
    fn the_examples_in_the_templates_are_right() {
        for text in [TEMPLATE.to_owned(), configuration()] {
            let all = uncommented(&text);
            assert!(
                all.contains("\n[notify.me]\n") && all.contains("\n[heartbeat.outward]"),
                "{all}"
            );
            settings_of(&all);
        }
    }

    #[test]
    fn a_unit_names_only_what_its_process_sees() {
        let places = Places::new("/var/tmp/build/watchkeep".into(), "/var/tmp/watchkeep.toml".into());
        let unit = places.unit();
        assert!(
            unit.contains("\nExecStart=/usr/local/bin/watchkeep run --config /etc/watchkeep/watchkeep.toml\n"),
            "{unit}"
        );
        let steps = places
            .steps(Path::new("watchkeep.toml"), Path::new("watchkeep.service"))
            .join("\n");
        assert!(
            steps.contains("install -m 0755 /var/tmp/build/watchkeep /usr/local/bin/watchkeep"),
            "{steps}"
        );
        assert!(
            steps.contains("install -D -m 0644 watchkeep.toml /etc/watchkeep/watchkeep.toml"),
            "{steps}"
        );
        let places = Places::new("/usr/bin/watch keep".into(), "/etc/watch%keep.toml".into());
        assert!(!places.unit().contains("watch keep") && !places.unit().contains('%'));
    }
}
