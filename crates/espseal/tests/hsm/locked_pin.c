/* A PKCS#11 module: SoftHSM2, but C_Login says CKR_PIN_LOCKED. */
#include <dlfcn.h>
#include <stddef.h>

typedef unsigned long CK_RV;

/* CK_FUNCTION_LIST of PKCS#11 v2.40: a version, then 68 functions, C_Login the 19th. */
struct functions {
    unsigned char version[2];
    void *function[68];
};

static CK_RV login(unsigned long session, unsigned long user, unsigned char *pin, unsigned long length)
{
    (void)session, (void)user, (void)pin, (void)length;
    return 0xA4;
}

CK_RV C_GetFunctionList(struct functions **list)
{
    static struct functions changed;
    struct functions *real;
    void *module = dlopen("/usr/lib/softhsm/libsofthsm2.so", RTLD_NOW);
    CK_RV (*get)(struct functions **) = module ? dlsym(module, "C_GetFunctionList") : NULL;
    if (!get || get(&real))
        return 5; /* CKR_GENERAL_ERROR */
    changed = *real;
    changed.function[18] = (void *)login;
    *list = &changed;
    return 0;
}
