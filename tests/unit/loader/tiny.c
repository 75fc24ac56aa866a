/* SPDX-License-Identifier: Apache-2.0 */
/* A shared object for the loader's tests: nothing in it is ever run. */
int tiny(void);
int tiny(void)
{
    return 1;
}
