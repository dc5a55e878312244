// The order of tests and tables in the map, so that its structure shows.

// Tests by file; tables that all sorts of files write to first, the others where their writers are.
function mapOrder() {
  const files = new Map();
  report.tests.forEach((test, index) => {
    if (!test.wrote.length) return;
    if (!files.has(fileOf(test))) files.set(fileOf(test), []);
    files.get(fileOf(test)).push(index);
  });
  const names = [...files.keys()].sort();
  const tables = report.tables.map((name, place) => ({ place, tests: 0, sum: 0, files: new Set() }));
  names.forEach((name, position) => {
    for (const index of files.get(name)) {
      for (const [place] of report.tests[index].wrote) {
        const each = tables[place];
        each.tests += 1;
        each.sum += position;
        each.files.add(position);
      }
    }
  });
  const shared = (each) => names.length > 2 && each.files.size > names.length * 0.4;
  const written = tables.filter((each) => each.tests);
  const columns = [
    ...written.filter(shared).sort(byDescending((each) => each.tests)),
    ...written.filter((each) => !shared(each)).sort((one, other) => one.sum / one.tests - other.sum / other.tests || one.place - other.place),
  ].map((each) => each.place);
  const columnOf = new Int32Array(report.tables.length).fill(-1);
  columns.forEach((place, column) => { columnOf[place] = column; });
  const hubs = written.filter(shared).length;
  const rows = names.flatMap((name) => sortedFile(files.get(name), columnOf, hubs));
  const groups = [];
  rows.forEach((index, row) => {
    const name = fileOf(report.tests[index]);
    if (!groups.length || groups[groups.length - 1].name !== name) groups.push({ name, from: row, until: row });
    groups[groups.length - 1].until = row + 1;
  });
  return { rows, columns, groups, cells: mapCells(rows, columnOf), rowOf: new Map(rows.map((index, row) => [index, row])) };
}

function sortedFile(tests, columnOf, hubs) {
  const middles = new Map(tests.map((index) => {
    const columns = report.tests[index].wrote.map(([place]) => columnOf[place]);
    const own = columns.filter((column) => column >= hubs);
    const used = own.length ? own : columns;
    return [index, used.reduce((sum, column) => sum + column, 0) / used.length];
  }));
  return [...tests].sort((one, other) => middles.get(one) - middles.get(other) || one - other);
}

// What was written, row after row, in arrays: the map reads them all for each picture.
function mapCells(rows, columnOf) {
  const number = rows.reduce((sum, index) => sum + report.tests[index].wrote.length, 0);
  const starts = new Uint32Array(rows.length + 1);
  const columns = new Uint16Array(number);
  const shades = new Uint8Array(number);
  let next = 0;
  rows.forEach((index, row) => {
    starts[row] = next;
    const test = report.tests[index];
    for (const [place, many] of test.wrote) {
      columns[next] = columnOf[place];
      shades[next] = BAD.has(test.outcome) ? 4 : many === null || many > 30 ? 3 : many > 10 ? 2 : many > 2 ? 1 : 0;
      next += 1;
    }
  });
  starts[rows.length] = next;
  return { starts, columns, shades };
}
