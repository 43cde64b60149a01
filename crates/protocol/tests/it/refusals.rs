//! What makes no report is refused, shortly, by name, and with the command that helps.

use felhom_protocol::docker::{self, DockerError, Input};

use crate::recorded::{WHOLE, bytes, read, read_text};

/// The error and its hint, as one text.
fn told(error: &DockerError) -> String {
    let told = format!("{error}; {}", error.hint());
    assert!(told.len() < 600, "{told}");
    assert!(!told.chars().any(char::is_control), "{told:?}");
    told
}

fn refused(text: &str) -> String {
    told(&read_text(text).unwrap_err())
}

#[test]
fn what_else_docker_prints_is_refused_by_name_with_what_to_give_instead() {
    for (name, what, instead) in [
        ("df-summary.json", "summary of `docker system df`", "add -v"),
        ("ps.json", "`docker ps`", "docker container inspect"),
        ("version.json", "`docker version`", "docker info"),
        ("network.json", "a network", "docker volume inspect"),
    ] {
        let mut names = WHOLE.to_vec();
        names.push(name);
        let told = told(&read(&names).unwrap_err());
        assert!(
            told.contains(name) && told.contains(what) && told.contains(instead),
            "{told}"
        );
    }
}

#[test]
fn an_engine_that_was_not_reached_is_no_engine_without_volumes() {
    let told = told(&read(&["unreachable-info.json", "empty-df.json"]).unwrap_err());
    assert!(
        told.contains("Cannot connect to the Docker daemon") && told.contains("inside the guest"),
        "{told}"
    );
    // Newer clients print a document whose every field is empty.
    let told = refused(r#"{"ID":"","Containers":0,"DockerRootDir":"","ServerVersion":""}"#);
    assert!(told.contains("did not reach the engine"), "{told}");
}

#[test]
fn what_says_nothing_of_volumes_is_refused() {
    for text in ["", " \n", "[]", "[][]"] {
        assert!(refused(text).contains("which volumes there are"), "{text}");
    }
    let told = told(&read(&["info.json", "images.json"]).unwrap_err());
    assert!(
        told.contains("docker volume ls -q | xargs -r docker volume inspect"),
        "{told}"
    );
    assert_eq!(docker::read(&[]).unwrap_err(), DockerError::Nothing);
}

#[test]
fn what_is_no_json_is_refused_with_its_line() {
    for (text, word) in [
        ("DRIVER    VOLUME NAME\nlocal     x\n", "line 1"),
        ("[{\"Name\":", "line 1"),
        ("[]\n\n{\"a\":1,}", "line 3"),
        ("\u{0}", "line 1"),
        ("[]]", "line 1"),
    ] {
        let told = refused(text);
        assert!(
            told.contains("volumes.json is not the JSON") && told.contains(word),
            "{told}"
        );
    }
    let utf16 = b"\xff\xfe[\0]\0";
    let input = Input {
        name: "a\x1b[2Jb",
        bytes: utf16,
    };
    told(&docker::read(&[input]).unwrap_err());
    for text in ["1", "null", "\"x\"", "[1]", "[[{}]]", "{}", "[{}]"] {
        assert!(refused(text).contains("holds"), "{text}");
    }
}

#[test]
fn a_field_of_another_form_is_named() {
    let volume = |rest: &str| format!(r#"[{{"Name":"n","Mountpoint":"/m",{rest}}}]"#);
    let container = |rest: &str| format!(r#"{{"Id":"1","Name":"/x","Config":{{}},{rest}}}"#);
    for (text, word) in [
        (
            volume(r#""Driver":7,"Labels":{}"#),
            "a volume cannot be read: `Driver` is not a text",
        ),
        (
            volume(r#""Driver":"","Labels":[]"#),
            "`Labels` is not an object",
        ),
        (
            volume(r#""Driver":"","Labels":{"a":1}"#),
            "`Labels.a` is not a text",
        ),
        (
            volume(r#""Driver":"","Options":{"o":{}}"#),
            "`Options.o` is not a text",
        ),
        (
            container(r#""HostConfig":{},"Mounts":{}"#),
            "a container cannot be read: `Mounts` is not a list",
        ),
        (
            container(r#""HostConfig":{},"Mounts":[{"Type":"volume","Destination":"/"}]"#),
            "`Mounts[0].Name` is not a text",
        ),
        (
            container(r#""HostConfig":{"Tmpfs":[]}"#),
            "`HostConfig.Tmpfs` is not an object",
        ),
        (
            container(r#""HostConfig":{},"State":{"Running":"yes"}"#),
            "`State.Running` is not true or false",
        ),
        (
            r#"{"Images":[],"Containers":[],"Volumes":[{"Name":1}]}"#.to_owned(),
            "`Volumes[0].Name` is not a text",
        ),
    ] {
        let told = refused(&text);
        assert!(told.contains(word), "{told}");
    }
}

#[test]
fn two_engines_at_once_are_refused() {
    let both = |name: &str, from: &str, to: &str| {
        let text = String::from_utf8(bytes(name)).unwrap();
        let changed = text.replace(from, to);
        assert_ne!(text, changed);
        let files = [(name, text), ("other.json", changed)];
        let inputs = files.each_ref().map(|(name, text)| Input {
            name,
            bytes: text.as_bytes(),
        });
        docker::read(&inputs)
    };
    for (name, from, to, what) in [
        ("info.json", "/var/lib/docker", "/srv/docker", "the engine"),
        ("volumes.json", "nfsvers=4", "nfsvers=3", "volume `on-nfs`"),
        (
            "containers.json",
            "/usr/src/paperless/data",
            "/data",
            "container `paperless-webserver-1`",
        ),
    ] {
        let told = told(&both(name, from, to).unwrap_err());
        assert!(
            told.contains(what) && told.contains("engine of one guest"),
            "{told}"
        );
    }
    // A container that ended between two commands is the same container.
    both("containers.json", "\"running\"", "\"exited\"").unwrap();
    // Another one that was given its name since is not.
    let known = read(&WHOLE).unwrap();
    let id = known
        .containers
        .iter()
        .find(|one| one.name == "paperless-db-1");
    let id = format!("\"Id\": \"{}", &id.unwrap().id);
    let told = told(&both("containers.json", &id, "\"Id\": \"another").unwrap_err());
    assert!(told.contains("`paperless-db-1` stands twice"), "{told}");
}

#[test]
fn what_is_too_long_too_many_or_too_deep_is_refused() {
    let volume = |name: &str, labels: &str| {
        format!(r#"{{"Name":"{name}","Driver":"local","Mountpoint":"/m","Labels":{labels}}}"#)
    };
    let told = refused(&volume(&"n".repeat(600), "{}"));
    assert!(
        told.contains("its name has 600 bytes, at most 512 are taken"),
        "{told}"
    );
    let told = refused(&volume(
        "n",
        &format!(r#"{{"k":"{}"}}"#, "v".repeat(70_000)),
    ));
    assert!(
        told.contains("its labels: `k` has 70000 bytes, at most 65536"),
        "{told}"
    );
    let many: Vec<_> = (0..600).map(|n| format!(r#""k{n}":"""#)).collect();
    let told = refused(&volume("n", &format!("{{{}}}", many.join(","))));
    assert!(told.contains("its labels has 600 entries"), "{told}");
    let many: Vec<_> = (0..6000).map(|n| volume(&format!("n{n}"), "{}")).collect();
    let told = refused(&many.join("\n"));
    assert!(
        told.contains("list of volumes has 6000 entries, at most 5000"),
        "{told}"
    );
    let mounts: Vec<_> = (0..600)
        .map(|n| format!(r#"{{"Type":"tmpfs","Destination":"/{n}"}}"#))
        .collect();
    let container = format!(
        r#"{{"Id":"1","Name":"/x","Config":{{}},"HostConfig":{{}},"Mounts":[{}]}}"#,
        mounts.join(",")
    );
    assert!(refused(&container).contains("its mounts has 600 entries"));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(refused(&deep).contains("recursion limit"));
    let large = format!("[{}]", " ".repeat(docker::LARGEST));
    assert!(refused(&large).contains("bytes, at most 8388608 are read"));
}

#[test]
fn a_nameless_thing_is_refused() {
    for text in [
        r#"{"Name":"","Driver":"local","Mountpoint":"/m"}"#,
        r#"{"Id":"","Name":"/x","Config":{},"HostConfig":{}}"#,
        r#"{"Id":"1","Name":"/","Config":{},"HostConfig":{}}"#,
        r#"{"Id":"1","Name":"/x","Config":{},"HostConfig":{},"Mounts":[{"Type":"volume","Name":"","Destination":"/a"}]}"#,
    ] {
        let told = refused(text);
        assert!(
            told.contains("without a name") || told.contains("names no volume"),
            "{told}"
        );
    }
}

/// What grows with the square of its size would take minutes here.
#[test]
fn the_largest_hostile_input_is_refused_in_linear_time() {
    let half = docker::LARGEST / 2;
    let fill = |piece: &dyn Fn(usize) -> String, separator: &str| {
        let count = half / (piece(100_000).len() + separator.len());
        let pieces: Vec<_> = (0..count).map(piece).collect();
        pieces.join(separator)
    };
    let containers = fill(
        &|n| format!(r#"{{"Id":"{n}","Name":"/{n}","Image":"i","Config":{{}},"HostConfig":{{}}}}"#),
        "\n",
    );
    let digests = fill(&|n| format!(r#""r{n}@d""#), ",");
    let image = format!(r#"{{"Id":"i","RootFS":{{}},"RepoDigests":[{digests}]}}"#);
    assert!(refused(&format!("{containers}{image}")).contains("list of containers"));
    let mounts = fill(
        &|n| format!(r#"{{"Type":"volume","Name":"{n}","Destination":"/{n}"}}"#),
        ",",
    );
    let one =
        format!(r#"{{"Id":"1","Name":"/x","Config":{{}},"HostConfig":{{}},"Mounts":[{mounts}]}}"#);
    assert!(refused(&format!("{one}\n{one}")).contains("entries"));
    let zeros = format!("[{}0]", "0,".repeat(half - 2));
    assert!(refused(&zeros).contains("neither an object"));
}
