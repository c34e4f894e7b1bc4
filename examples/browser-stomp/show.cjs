'use strict';

// Opens a page in headless Chromium and prints the lines of its list once there are so many.
const [, , url, count, modules] = process.argv;
const { chromium } = require(`${modules}/playwright-core`);

async function main() {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await browser.newPage();
    await page.goto(url);
    await page.waitForFunction((wanted) => document.querySelectorAll('li').length >= wanted, Number(count));
    console.log((await page.locator('li').allTextContents()).join('\n'));
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
