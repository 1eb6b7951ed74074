// What a radiologist sees: OHIF in headless Chromium, on a study that lies in Orthanc.
//
//   node ohif.cjs DIST ORTHANC_URL CHROMIUM STUDY_UID OUT
//
// DIST is the folder `dist` of the npm package @ohif/app. OHIF and Orthanc's DICOMweb are served from one origin. Each
// series is opened as a reader would open it; OUT gets a screenshot of each, and `seen.json`, which is also printed:
// the words on the page, and for a series of several images the words after each step through it.
//
// puppeteer-core is looked for in the folder that the environment variable NODE_PATH names.

const fs = require('fs');
const http = require('http');
const path = require('path');
const puppeteer = require('puppeteer-core');

const [dist, orthanc, chromium, study, out] = process.argv.slice(2);
const VIEW = { width: 1600, height: 1000 };
const OPEN_MS = 120000;
const SETTLED_MS = 1500;
const DOCUMENT_PAGES = 4;
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json',
  '.wasm': 'application/wasm', '.svg': 'image/svg+xml', '.png': 'image/png' };

const CONFIG = `window.config = {
  routerBasename: '/', extensions: [], modes: [], customizationService: {}, showStudyList: true,
  maxNumberOfWebWorkers: 2, showWarningMessageForCrossOrigin: false, showCPUFallbackMessage: false,
  strictZSpacingForVolumeViewport: true, investigationalUseDialog: { option: 'never' },
  defaultDataSourceName: 'orthanc',
  dataSources: [{
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb', sourceName: 'orthanc',
    configuration: {
      friendlyName: 'Orthanc', name: 'orthanc',
      wadoUriRoot: location.origin + '/wado', qidoRoot: location.origin + '/dicom-web',
      wadoRoot: location.origin + '/dicom-web',
      qidoSupportsIncludeField: false, imageRendering: 'wadors', thumbnailRendering: 'wadors',
      enableStudyLazyLoad: true, supportsFuzzyMatching: false, supportsWildcard: true,
      omitQuotationForMultipartRequest: true, bulkDataURI: { enabled: true },
    },
  }],
};`;

function serve() {
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, 'http://x');
    if (url.pathname.startsWith('/dicom-web') || url.pathname.startsWith('/wado')) return proxy(request, response);
    if (url.pathname === '/app-config.js') return answer(response, '.js', CONFIG);
    const file = path.join(dist, path.normalize(url.pathname));
    const isFile = fs.existsSync(file) && fs.statSync(file).isFile();
    const found = isFile ? file : path.join(dist, 'index.html');
    return answer(response, path.extname(found), fs.readFileSync(found));
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

function answer(response, extension, body) {
  response.writeHead(200, { 'Content-Type': TYPES[extension] || 'application/octet-stream' });
  response.end(body);
}

// Orthanc writes the host that it was asked by into its answers: the one that the page has, so that they come back here.
function proxy(request, response) {
  const target = new URL(request.url, orthanc);
  const options = { method: request.method, headers: request.headers };
  const onward = http.request(target, options, (reply) => {
    response.writeHead(reply.statusCode, reply.headers);
    reply.pipe(response);
  });
  onward.on('error', () => response.destroy());
  request.pipe(onward);
}

async function settled(page) {
  await page.waitForNetworkIdle({ idleTime: SETTLED_MS, timeout: OPEN_MS });
}

// OHIF greets a new reader with a tour that covers the image.
async function skipTour(page) {
  const skipped = await page.evaluate(() => {
    const found = [...document.querySelectorAll('button')].find((button) => button.innerText === 'Skip all');
    if (found) found.click();
    return Boolean(found);
  });
  if (skipped) await settled(page);
}

// One step on: the next image of a stack, the next screenful of a document.
async function scroll(page) {
  await page.mouse.move(VIEW.width / 2, VIEW.height / 2);
  await page.mouse.wheel({ deltaY: 100 });
  await page.evaluate((height) => {
    const panes = [...document.querySelectorAll('*')].filter((item) => item.scrollHeight > item.clientHeight + 200);
    panes.forEach((pane) => pane.scrollBy(0, height));
  }, VIEW.height * 0.8);
  await settled(page);
}

const words = (page) => page.evaluate(() => document.body.innerText);

async function open(page, origin, series) {
  const query = `StudyInstanceUIDs=${study}&initialSeriesInstanceUID=${series.uid}`;
  await page.goto(`${origin}/viewer?${query}`, { waitUntil: 'domcontentloaded' });
  await page.waitForSelector('[data-cy="viewport-pane"], .viewport-wrapper, [data-viewportid]', { timeout: OPEN_MS });
  await settled(page);
  await skipTour(page);
  const version = / v\d+\b/.exec(series.description || '');
  const name = `${String(series.number).padStart(4, '0')}-${series.modality}${version ? `-${version[0].trim()}` : ''}`;
  const steps = [];
  const count = { CT: 1, SR: DOCUMENT_PAGES }[series.modality] || series.images;
  for (let step = 1; step <= count; step += 1) {
    await page.screenshot({ path: path.join(out, `${name}-${step}.png`) });
    steps.push(await words(page));
    if (step < count) await scroll(page);
  }
  return { ...series, steps };
}

async function seriesOf(origin) {
  const fields = 'includefield=00200011&includefield=00201209&includefield=0008103E';
  const found = await (await fetch(`${origin}/dicom-web/studies/${study}/series?${fields}`)).json();
  const value = (item, tag) => (item[tag] && item[tag].Value ? item[tag].Value[0] : null);
  return found
    .map((item) => ({
      uid: value(item, '0020000E'),
      number: Number(value(item, '00200011')),
      modality: value(item, '00080060'),
      description: value(item, '0008103E'),
      images: Number(value(item, '00201209')),
    }))
    .sort((one, other) => one.number - other.number);
}

async function main() {
  fs.mkdirSync(out, { recursive: true });
  const server = await serve();
  const origin = `http://127.0.0.1:${server.address().port}`;
  const browser = await puppeteer.launch({
    executablePath: chromium,
    headless: true,
    args: ['--no-sandbox', '--use-angle=swiftshader', '--enable-unsafe-swiftshader', '--ignore-gpu-blocklist'],
    protocolTimeout: 2 * OPEN_MS,
  });
  try {
    const seen = [];
    for (const series of await seriesOf(origin)) {
      const page = await browser.newPage();
      await page.setViewport(VIEW);
      page.on('pageerror', (error) => console.error(`page: ${error.message}`));
      seen.push(await open(page, origin, series));
      await page.close();
    }
    fs.writeFileSync(path.join(out, 'seen.json'), JSON.stringify(seen, null, 2));
    console.log(JSON.stringify(seen));
  } finally {
    await browser.close();
    server.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
