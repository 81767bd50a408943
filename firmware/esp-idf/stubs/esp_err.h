#pragma once
#include <stdint.h>
typedef int esp_err_t;
#define ESP_OK 0
#define ESP_FAIL -1
#define ESP_ERR_NO_MEM 0x101
#define ESP_ERR_NOT_FINISHED 0x10C
void stub_abort(esp_err_t err);
#define ESP_ERROR_CHECK(x) stub_abort(x)
