/* Updates of an unmodified ESP-IDF app from an espseal server.
 *
 * The form is begin, perform, decrypt_end, finish: esp_https_ota() in one call never checks the tag
 * of the sealed image. What this cannot do, and an espseal agent can, is in SECURITY.md: no signed
 * metadata, so a hostile server can offer any older image that secure boot still takes. */
#include "update.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "esp_encrypted_img.h"
#include "esp_http_client.h"
#include "esp_https_ota.h"
#include "esp_log.h"
#include "esp_ota_ops.h"
#include "esp_system.h"

/* A multiple of 16, and at least 1024: header and first block come with one request. */
#define REQUEST_SIZE (16 * 1024)
/* The header of an image sealed by espseal, for either scheme. */
#define HEADER_SIZE 512

static const char *TAG = "update";

void update_confirm(esp_err_t (*self_test)(void))
{
    esp_ota_img_states_t state;
    const esp_partition_t *running = esp_ota_get_running_partition();
    if (esp_ota_get_state_partition(running, &state) != ESP_OK || state != ESP_OTA_IMG_PENDING_VERIFY) {
        return;
    }
    if (self_test() == ESP_OK) {
        ESP_ERROR_CHECK(esp_ota_mark_app_valid_cancel_rollback());
        ESP_LOGI(TAG, "this app is valid");
    } else {
        esp_ota_mark_app_invalid_rollback_and_reboot();
    }
}

/* Decrypts one piece; esp_https_ota frees what comes out. */
static esp_err_t decrypt(decrypt_cb_arg_t *piece, void *context)
{
    pre_enc_decrypt_arg_t step = {
        .data_in = piece->data_in,
        .data_in_len = piece->data_in_len,
    };
    esp_err_t err = esp_encrypted_img_decrypt_data(context, &step);
    if (err != ESP_OK && err != ESP_ERR_NOT_FINISHED) {
        free(step.data_out);
        return err;
    }
    piece->data_out = step.data_out;
    piece->data_out_len = step.data_out_len;
    return ESP_OK;
}

/* Whether the app on offer is another than the one that runs. */
static bool is_new(esp_https_ota_handle_t ota)
{
    esp_app_desc_t offered;
    return esp_https_ota_get_img_desc(ota, &offered) == ESP_OK
        && strncmp(offered.version, esp_app_get_description()->version, sizeof offered.version) != 0;
}

/* Downloads everything and checks the tag; `ota` is finished or aborted afterwards. */
static esp_err_t run(esp_https_ota_handle_t ota, esp_decrypt_handle_t image)
{
    esp_err_t err;
    if (!is_new(ota)) {
        esp_https_ota_abort(ota);
        esp_encrypted_img_decrypt_abort(image);
        return ESP_OK;
    }
    do {
        err = esp_https_ota_perform(ota);
    } while (err == ESP_ERR_HTTPS_OTA_IN_PROGRESS);
    if (err == ESP_OK && !esp_https_ota_is_complete_data_received(ota)) {
        err = ESP_FAIL;
    }
    if (err != ESP_OK) {
        esp_https_ota_abort(ota);
        esp_encrypted_img_decrypt_abort(image);
        return err;
    }
    /* The tag of the whole image: only now is it known to be what was sealed. */
    err = esp_encrypted_img_decrypt_end(image);
    if (err != ESP_OK) {
        esp_https_ota_abort(ota);
        return err;
    }
    /* Verifies the secure-boot signature and selects the new slot. */
    err = esp_https_ota_finish(ota);
    if (err == ESP_OK) {
        esp_restart();
    }
    return err;
}

esp_err_t update_install(const char *url, const char *authority, const char *key, size_t length)
{
    esp_decrypt_cfg_t keys = { .rsa_priv_key = key, .rsa_priv_key_len = length };
    esp_decrypt_handle_t image = esp_encrypted_img_decrypt_start(&keys);
    if (image == NULL) {
        return ESP_ERR_NO_MEM;
    }
    const esp_http_client_config_t http = {
        .url = url,
        .cert_pem = authority,
        .timeout_ms = 15000,
        .keep_alive_enable = true,
    };
    const esp_https_ota_config_t config = {
        .http_config = &http,
        .partial_http_download = true,
        .max_http_request_size = REQUEST_SIZE,
        .decrypt_cb = decrypt,
        .decrypt_user_ctx = image,
        .enc_img_header_size = HEADER_SIZE,
    };
    esp_https_ota_handle_t ota = NULL;
    esp_err_t err = esp_https_ota_begin(&config, &ota);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "no download: 0x%x", err);
        esp_encrypted_img_decrypt_abort(image);
        return err;
    }
    err = run(ota, image);
    if (err != ESP_OK) {
        ESP_LOGE(TAG, "update refused: 0x%x", err);
    }
    return err;
}
