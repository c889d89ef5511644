# All that the operator may do on the server, for the key "secretvault" of the engine at "transit".
# Never "create": where a key is missing, encrypting with that right would make it.
path "transit/encrypt/secretvault" {
  capabilities = ["update"]
}
path "transit/decrypt/secretvault" {
  capabilities = ["update"]
}
path "transit/rewrap/secretvault" {
  capabilities = ["update"]
}
# Renewal of its own token, and of no other.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
