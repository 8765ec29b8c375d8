import { formatStudy, StudyOptions, study } from '../study.js';
import { command } from './command.js';

export const diagnoseCommand = () =>
  command(
    'diagnose',
    'where a model is morally indifferent: diagnosis.json and report.html',
    StudyOptions,
    async (options, work) => {
      const result = await study({ ...options, ...work });
      return { json: result.diagnosis, text: formatStudy(result) };
    },
  );
