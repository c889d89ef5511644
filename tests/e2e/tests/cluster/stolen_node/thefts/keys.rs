//! At the key provider: a Transit server that the operator logs in to with a token of its account.

use secretvault_e2e::{Answer, SYSTEM};

use crate::attacker::{Bound, OPERATOR, mint, part_of_system};
use crate::stolen_node::attempts::Attempts;
use crate::stolen_node::loot::Loot;
use crate::stolen_node::scene::Scene;

impl Scene {
    /// No token that was found lets in, and without one nothing is decrypted.
    pub(crate) fn steal_at_the_key_provider(&self, loot: &Loot, attempts: &mut Attempts) {
        let operator = Bound::to_pod(&part_of_system(OPERATOR, None));
        let operator = mint(SYSTEM, OPERATOR, "vault", operator);
        let control = self.log_in(operator.text());
        for found in loot.tokens() {
            let attack = self.log_in(found.token.text());
            let name = format!("{}, at the key provider", found.name());
            attempts.refused(&name, &attack, &["permission denied", "invalid"], &control);
        }
        let key = self.key.name();
        let encrypt =
            format!("bao write -f -field=ciphertext transit/encrypt/{key} plaintext=aGk=");
        let ciphertext = self.key.bao.sh(&encrypt).expect_success();
        let decrypt = format!(
            "bao write transit/decrypt/{key} ciphertext={}",
            ciphertext.trim()
        );
        let attack = self.key.bao.sh(&format!("unset BAO_TOKEN; {decrypt}"));
        let control = self.key.bao.sh(&decrypt);
        attempts.refused(
            "decrypting without a token",
            &attack,
            &["denied", "missing"],
            &control,
        );
    }

    fn log_in(&self, token: &str) -> Answer {
        let role = self.key.name();
        let log_in = format!(
            "unset BAO_TOKEN; printf %s '{token}' | \
             bao write -field=token_policies auth/kubernetes/login role={role} jwt=-"
        );
        self.key.bao.sh(&log_in)
    }
}
