#pragma once
#include <stdbool.h>
typedef struct {
    const char *url;
    const char *cert_pem;
    int timeout_ms;
    bool keep_alive_enable;
} esp_http_client_config_t;
