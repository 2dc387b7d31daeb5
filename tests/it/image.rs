//! The container image: built by `make image` from bases of this machine, it runs as nobody in particular on a root that it cannot
//! write to.

use crate::support::{World, eventually, said};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A command of this machine's administrator.
fn administer(program: &str, arguments: &[&str]) -> Command {
    let is_root = rustix::process::getuid().is_root();
    let mut words = ["sudo", program].into_iter().skip(usize::from(is_root));
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(arguments);
    command
}

fn done(mut command: Command) -> String {
    let output = command.output().expect("buildah; `make test` installs it");
    assert!(output.status.success(), "{command:?}: {}", said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn buildah(arguments: &[&str]) -> String {
    done(administer("buildah", arguments))
}

/// Copies files of this machine below a new root, with the libraries they need.
fn transplant(files: &[&str], root: &Path) {
    for file in files {
        let libraries = Command::new("ldd").arg(file).output().unwrap();
        let libraries = String::from_utf8(libraries.stdout).unwrap();
        let libraries = libraries
            .split_whitespace()
            .filter(|word| word.starts_with('/'));
        for one in std::iter::once(*file).chain(libraries) {
            let place = root.join(&one[1..]);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(one, place).unwrap();
        }
    }
}

/// Images, removed in the end.
struct Images {
    folder: tempfile::TempDir,
    suffix: String,
}

impl Images {
    fn name(&self, image: &str) -> String {
        format!("localhost/paywatch-test-{image}:{}", self.suffix)
    }

    fn base(&self, image: &str, fill: impl Fn(&Path)) -> String {
        let root = self.folder.path().join(image);
        fs::create_dir_all(root.join("tmp")).unwrap();
        fill(&root);
        let container = buildah(&["from", "scratch"]);
        buildah(&["copy", "-q", &container, root.to_str().unwrap(), "/"]);
        buildah(&["config", "--env", "PATH=/bin", &container]);
        buildah(&["commit", "-q", "--rm", &container, &self.name(image)]);
        self.name(image)
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        let names = ["paywatch", "rust", "base"].map(|image| self.name(image));
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        // A test that failed early has not made all of them.
        let _some = administer("buildah", &[&["rmi", "-f"][..], &names].concat()).output();
    }
}

/// A container whose root is mounted here, read-only for whoever runs in it.
struct Container {
    name: String,
    root: PathBuf,
    state: PathBuf,
    /// What the image says of itself.
    config: Value,
}

fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().unwrap().iter();
    words
        .map(|word| word.as_str().unwrap().to_owned())
        .collect()
}

impl Container {
    fn of(image: &str, state: &Path) -> Self {
        let inspected = buildah(&["inspect", "--type", "image", image]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        let name = buildah(&["from", image]);
        Self {
            root: buildah(&["mount", &name]).into(),
            state: state.to_owned(),
            config: inspected["Docker"]["config"].clone(),
            name,
        }
    }

    /// As an engine would with `--read-only` and the image's only volume: user, environment and working folder are the image's.
    fn run(&self, arguments: &[String], environment: &[(String, String)]) -> Command {
        let script = "root=$1 state=$2 user=$3 folder=$4; shift 4; mount --bind $root $root && mount -o remount,ro,bind $root \
            && mount --bind $state $root$folder && exec chroot --userspec=$user $root /usr/bin/env -C $folder -i \"$@\"";
        let user = self.config["User"].as_str().unwrap();
        let folder = self.config["WorkingDir"].as_str().unwrap();
        let (root, state) = (self.root.to_str().unwrap(), self.state.to_str().unwrap());
        let mut command = administer(
            "unshare",
            &[
                "--mount", "sh", "-c", script, "sh", root, state, user, folder,
            ],
        );
        command
            .args(words(&self.config["Env"]))
            .args(
                environment
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .args(arguments);
        command
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _gone = administer("buildah", &["rm", &self.name]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_image_runs_as_a_number_on_a_read_only_root_and_answers_its_health_check() {
    let world = World::new().await;
    let binary = env!("CARGO_BIN_EXE_paywatch");
    let images = Images {
        folder: tempfile::tempdir().unwrap(),
        suffix: std::process::id().to_string(),
    };
    // In place of a compiler: the program that is compiled already.
    let rust = images.base("rust", |root| {
        transplant(&["/bin/sh", "/bin/mkdir", "/bin/cp"], root);
        fs::copy(binary, root.join("paywatch")).unwrap();
        let cargo = root.join("bin/cargo");
        fs::write(
            &cargo,
            "#!/bin/sh\nmkdir -p target/release && cp /paywatch target/release/\n",
        )
        .unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    });
    let base = images.base("base", |root| {
        transplant(&[binary, "/usr/bin/env"], root);
        fs::remove_file(root.join(&binary[1..])).unwrap();
    });
    let mut make = administer("make", &["--no-print-directory", "image"]);
    make.arg(format!("TAG={}", images.name("paywatch")));
    make.arg(format!(
        "IMAGE_ARGS=--build-arg RUST={rust} --build-arg BASE={base}"
    ));
    done(make);

    let state = images.folder.path().join("state");
    fs::create_dir(&state).unwrap();
    done(administer(
        "chown",
        &["10001:10001", state.to_str().unwrap()],
    ));
    let container = Container::of(&images.name("paywatch"), &state);
    assert_eq!(container.config["User"], "10001:10001");
    let volumes = container.config["Volumes"].as_object().unwrap();
    assert_eq!(volumes.keys().collect::<Vec<_>>(), ["/var/lib/paywatch"]);

    let mut environment = world.environment();
    environment.retain(|(name, _)| !name.contains("STORE") && !name.contains("OPS"));
    let listen = localnet::address_to_listen_at().unwrap();
    environment.push(("PAYWATCH__OPS__LISTEN".into(), listen.to_string()));
    let command = [
        words(&container.config["Entrypoint"]),
        words(&container.config["Cmd"]),
    ]
    .concat();
    let log = fs::File::create(images.folder.path().join("log")).unwrap();
    let mut daemon = container.run(&command, &environment);
    let mut daemon = daemon.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let check = words(&container.config["Healthcheck"]["Test"]);
    assert_eq!(check[0], "CMD");
    let healthy = || -> Output { container.run(&check[1..], &environment).output().unwrap() };
    eventually("the health check is answered", async || {
        healthy().status.success()
    })
    .await;
    let (checkout, signature) = world.buy().await;
    world.wait_confirmed(&checkout, signature).await;
    assert!(
        state.join("paywatch.db").exists(),
        "its state is in the volume"
    );
    let backup = ["paywatch", "store", "backup", "/tmp/backup.db"].map(str::to_owned);
    let backup = container.run(&backup, &environment).output().unwrap();
    assert_eq!(backup.status.code(), Some(1), "and can be nowhere else");

    let id = daemon.id().to_string();
    done(administer("kill", &["-TERM", &id]));
    assert!(daemon.wait().unwrap().success(), "it drains");
    assert!(!healthy().status.success(), "nobody is there any more");
}
