//! A user as Proxmox knows one: a name within a realm.

use crate::text::{is_config_id, is_field, text_name};

text_name!(
    /// A user's id, `name@realm`.
    UserId,
    "user id",
    "`name@realm`, at most 64 characters, without blanks, `:` and `/`",
    is_user_id
);

impl UserId {
    /// The realm, such as `pam` or `pve`.
    pub fn realm(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, realm)| realm)
    }
}

pub(crate) fn is_user_id(text: &str) -> bool {
    // A name may hold `@` itself (a mail address as login); the realm never does.
    text.chars().count() <= 64
        && text
            .rsplit_once('@')
            .is_some_and(|(name, realm)| is_field(name) && is_config_id(realm, &['.', '-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_realm_is_behind_the_last_at_sign() {
        assert_eq!("root@pam".parse::<UserId>().unwrap().realm(), "pam");
        assert_eq!(
            "eve@example.org@ldap".parse::<UserId>().unwrap().realm(),
            "ldap"
        );
        for odd in [
            "",
            "root",
            "@pam",
            "root@",
            "root@p",
            "ro:ot@pam",
            "a/b@pam",
            "a b@pam",
        ] {
            assert!(odd.parse::<UserId>().is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_token_id_is_not_a_user_id() {
        assert!("felhom-agent@pve!agent".parse::<UserId>().is_err());
    }
}
