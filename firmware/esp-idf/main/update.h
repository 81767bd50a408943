/* Updates of an unmodified ESP-IDF app from an espseal server. */
#pragma once

#include <stddef.h>

#include "esp_err.h"

/* Marks a new app valid once `self_test` returns ESP_OK; otherwise goes back to the old app, which
 * restarts the chip. Call once, early, before the app is used. */
void update_confirm(esp_err_t (*self_test)(void));

/* Downloads, decrypts and installs what is on offer for this device, and restarts into it. Returns
 * when there is nothing, or why it failed.
 *
 * url: https://<host>/idf/<device id>/latest
 * authority: the certificate, in PEM, that signs the server's
 * key, length: this device's RSA-3072 private key in PEM, final NUL included */
esp_err_t update_install(const char *url, const char *authority, const char *key, size_t length);
